"""A cut: one position a lane, up to which a response tells everything and beyond which nothing.

The replica makes one when its head moves and all syncs until the next share it, with the text of its token.
"""

from __future__ import annotations

from plexus.platform.lanes import SyncToken


class Cut:
    __slots__ = ("_text", "generation", "rooms", "serial", "users")

    def __init__(
        self, generation: int, rooms: tuple[int, ...], users: tuple[int, ...], serial: int = 0
    ) -> None:
        self.generation = generation
        self.rooms = rooms
        self.users = users
        self.serial = serial
        """Counts the cuts that a replica has taken; 0 for one that came with a token."""
        self._text: str | None = None

    @classmethod
    def of_token(cls, token: SyncToken) -> Cut:
        return cls(token.generation, token.rooms, token.users)

    def token(self, to_device: int) -> str:
        """The token of who has seen everything up to this cut, and the inbox up to ``to_device``."""
        if to_device:
            return SyncToken(self.generation, self.rooms, self.users, to_device).encode()
        if self._text is None:
            self._text = SyncToken(self.generation, self.rooms, self.users).encode()
        return self._text

    def same_place(self, other: Cut) -> bool:
        return self is other or (self.rooms == other.rooms and self.users == other.users)

    def covers(self, other: Cut) -> bool:
        """Whether nothing of ``other`` lies beyond this cut; both of one replica and generation."""
        if self is other or 0 < other.serial <= self.serial:
            return True
        return _not_beyond(other.rooms, self.rooms) and _not_beyond(other.users, self.users)


def _not_beyond(these: tuple[int, ...], those: tuple[int, ...]) -> bool:
    return these == those or all(map(int.__le__, these, those))
