"""What one answer is made from: who asks, what they have, and up to where they are told."""

from __future__ import annotations

from dataclasses import dataclass, field

from plexus.rooms import RoomRef
from plexus.sync.filters import Shape, SyncFilter
from plexus.sync.models import STATE
from plexus.sync.replica import Cut, UserView
from plexus.users import NO_RULES, ContactRules


@dataclass(slots=True)
class Answer:
    """``since`` is None for an initial sync. The streams read the upper part and add to the lower one.

    ``state_keys`` are as of `SyncRequest`. ``to_device`` is up to where the device's inbox was delivered, a
    position of the user's lane in the generation of ``cut`` and not beyond it. ``rules`` say whom the user
    does not want to hear from; who ignores somebody has a shape ``ignoring``.

    ``joined`` holds the sections of ``rooms.join`` without their closing brace, ``left_account_data`` what
    belongs to rooms that may yet be told as left, ``quiet`` the rooms of which nothing is told, whatever has
    happened in them, ``newly_joined`` and ``newly_left`` the rooms whose members have come into or gone out
    of the user's sight, ``came`` and ``went`` the users who did, ``encrypted`` the rooms that have become so.
    """

    view: UserView
    device_id: str | None
    since: Cut | None
    cut: Cut
    filter: SyncFilter
    state_keys: tuple[bytes, ...]
    now_ms: int
    to_device: int
    rules: ContactRules = NO_RULES
    shows: bool = False
    ignoring: Shape | None = None

    joined: dict[str, bytes] = field(default_factory=dict)
    invited: dict[str, bytes] = field(default_factory=dict)
    knocked: dict[str, bytes] = field(default_factory=dict)
    left: dict[str, bytes] = field(default_factory=dict)
    account_data: list[bytes] = field(default_factory=list)
    room_account_data: dict[str, list[bytes]] = field(default_factory=dict)
    ephemeral: dict[str, list[bytes]] = field(default_factory=dict)
    left_account_data: dict[str, list[bytes]] = field(default_factory=dict)
    typing: set[str] = field(default_factory=set)
    presence: list[bytes] = field(default_factory=list)
    unread: dict[str, bytes] = field(default_factory=dict)
    messages: list[bytes] = field(default_factory=list)
    device_lists: bytes | None = None
    key_counts: bytes = b""
    key_counts_changed: bool = False

    quiet: list[RoomRef] = field(default_factory=list)
    newly_joined: list[RoomRef] = field(default_factory=list)
    newly_left: list[tuple[RoomRef, int]] = field(default_factory=list)
    encrypted: list[RoomRef] = field(default_factory=list)
    came: set[str] = field(default_factory=set)
    went: set[str] = field(default_factory=set)
    members: list[tuple[str, frozenset[str]]] = field(default_factory=list)

    @property
    def user_id(self) -> str:
        return self.view.user_id

    @property
    def state_after(self) -> bool:
        """Whether the state is told as it is at the end of the timeline, not as at its start."""
        return self.state_keys != STATE

    @property
    def next_batch(self) -> str:
        return self.cut.token(self.to_device, self.shows)

    def add_ephemeral(self, room_id: str, event: bytes) -> None:
        """One more ephemeral event of a room, if the filter's limit lets it."""
        limit = self.filter.filter.room.ephemeral.limit
        if limit is None or len(self.ephemeral.get(room_id, ())) < limit:
            self.ephemeral.setdefault(room_id, []).append(event)

    @property
    def tells_something(self) -> bool:
        """Whether the client learns anything: otherwise the poll is held on."""
        return bool(
            self.joined
            or self.invited
            or self.knocked
            or self.left
            or self.account_data
            or self.room_account_data
            or self.unread
            or self.ephemeral
            or self.presence
            or self.messages
            or self.device_lists
            or self.key_counts_changed
        )
