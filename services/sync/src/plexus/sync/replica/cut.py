"""A cut: one position a lane, up to which a response tells everything and beyond which nothing.

The replica makes one when its head moves and all syncs until the next share it, with the text of its token.
"""

from __future__ import annotations

from plexus.platform.lanes import SyncToken


class Cut:
    __slots__ = ("_texts", "epoch", "generation", "moment", "rooms", "serial", "shows", "users")

    def __init__(
        self,
        generation: int,
        rooms: tuple[int, ...],
        users: tuple[int, ...],
        serial: int = 0,
        *,
        epoch: int = 0,
        moment: int = 0,
        shows: bool = False,
    ) -> None:
        self.generation = generation
        self.rooms = rooms
        self.users = users
        self.serial = serial
        """Counts the cuts that a replica has taken; 0 for one that came with a token."""
        self.epoch = epoch
        self.moment = moment
        """Up to which ephemeral changes are told, and which replica numbered it so (`Moments`)."""
        self.shows = shows
        """Of a token: whether its holder was told that somebody is typing."""
        self._texts: list[str | None] = [None, None]

    @classmethod
    def of_token(cls, token: SyncToken) -> Cut:
        return cls(
            token.generation,
            token.rooms,
            token.users,
            epoch=token.epoch,
            moment=token.counter >> 1,
            shows=bool(token.counter & 1),
        )

    def token(self, to_device: int, shows: bool = False) -> str:
        """The token of who has seen everything up to this cut, and the inbox up to ``to_device``; ``shows``:
        that somebody is typing.
        """
        if to_device:
            return self._encode(to_device, shows)
        text = self._texts[shows]
        if text is None:
            text = self._texts[shows] = self._encode(0, shows)
        return text

    def _encode(self, to_device: int, shows: bool) -> str:
        counter = self.moment << 1 | shows
        return SyncToken(self.generation, self.rooms, self.users, to_device, self.epoch, counter).encode()

    def same_moment(self, other: Cut) -> bool:
        """Whether no ephemeral change lies in between, by the same replica."""
        return self is other or (self.epoch == other.epoch and self.moment == other.moment)

    def same_place(self, other: Cut) -> bool:
        return self is other or (self.rooms == other.rooms and self.users == other.users)

    def covers(self, other: Cut) -> bool:
        """Whether nothing of ``other`` lies beyond this cut; both of one replica and generation."""
        if self is other or 0 < other.serial <= self.serial:
            return True
        return _not_beyond(other.rooms, self.rooms) and _not_beyond(other.users, self.users)


def _not_beyond(these: tuple[int, ...], those: tuple[int, ...]) -> bool:
    return these == those or all(map(int.__le__, these, those))
