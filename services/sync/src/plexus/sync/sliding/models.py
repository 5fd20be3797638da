"""What a client asks for, in whichever spelling it came.

MSC4186, "Request Body".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from plexus.platform.lanes import InboxToken

MAX_TIMELINE = 100
"""Events of a room in one response, at most."""


@dataclass(frozen=True, slots=True)
class Element:
    """Matches state by type and state key; None matches all of them."""

    type: str | None
    state_key: str | None

    @property
    def is_of_members(self) -> bool:
        """Whether it matches member events, if only those of one user."""
        return self.type in (None, "m.room.member")

    def matches(self, type_: str, state_key: str) -> bool:
        return self.type in (None, type_) and self.state_key in (None, state_key)


@dataclass(frozen=True, slots=True)
class RequiredState:
    """Which state of a room is wanted: what one of ``include`` matches and none of ``exclude``.

    With ``lazy`` a member is only by its own state key: the others come with what they have sent.
    """

    include: frozenset[Element] = frozenset()
    exclude: frozenset[Element] = frozenset()
    lazy: bool = False

    def wants(self, type_: str, state_key: str) -> bool:
        lazily = self.lazy and type_ == "m.room.member"
        return any(
            each.matches(type_, state_key) and not (lazily and each.state_key is None)
            for each in self.include
        ) and not any(each.matches(type_, state_key) for each in self.exclude)

    @property
    def wants_many_members(self) -> bool:
        """Whether members are wanted that are not named."""
        return (
            not self.lazy
            and any(each.is_of_members and each.state_key is None for each in self.include)
            and not any(each.is_of_members and each.state_key is None for each in self.exclude)
        )

    @property
    def wants_all_members(self) -> bool:
        return self.wants_many_members and not any(each.is_of_members for each in self.exclude)


@dataclass(frozen=True, slots=True)
class RoomConfig:
    """How much of a room is wanted: the superset of all rules that match it."""

    timeline_limit: int
    required: frozenset[RequiredState]

    def __or__(self, other: RoomConfig) -> RoomConfig:
        return RoomConfig(max(self.timeline_limit, other.timeline_limit), self.required | other.required)

    def wants(self, type_: str, state_key: str) -> bool:
        return any(each.wants(type_, state_key) for each in self.required)

    @property
    def lazy(self) -> bool:
        """Whether members come with what they have sent: not where all of them are wanted anyhow."""
        return any(each.lazy for each in self.required) and not any(
            each.wants_all_members for each in self.required
        )

    @property
    def wants_many_members(self) -> bool:
        return any(each.wants_many_members for each in self.required)

    @property
    def elements(self) -> frozenset[Element]:
        return frozenset(element for each in self.required for element in each.include)


@dataclass(frozen=True, slots=True)
class RoomFilters:
    """Which of the user's rooms a list has. None: does not matter. ``favourite``, ``unread`` and ``name`` are
    of the unstable form only.
    """

    is_dm: bool | None = None
    spaces: frozenset[str] | None = None
    is_encrypted: bool | None = None
    is_invited: bool | None = None
    room_types: frozenset[str | None] | None = None
    not_room_types: frozenset[str | None] = frozenset()
    tags: frozenset[str] | None = None
    not_tags: frozenset[str] = frozenset()
    favourite: bool | None = None
    unread: bool | None = None
    name: str | None = None

    @property
    def by_tags(self) -> bool:
        return self.tags is not None or bool(self.not_tags) or self.favourite is not None


@dataclass(frozen=True, slots=True)
class ListConfig:
    """``ranges`` are of indices into the filtered list, both ends included; None for all of it."""

    room: RoomConfig
    filters: RoomFilters
    ranges: tuple[tuple[int, int], ...] | None


@dataclass(frozen=True, slots=True)
class Scope:
    """An extension that is about rooms: those in the windows of these ``lists`` and these ``rooms``. None
    stands for all lists, and for all subscriptions. MSC3575, "Extensions".
    """

    lists: frozenset[str] | None = None
    rooms: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class ToDevice:
    """At most ``limit`` messages are wanted after ``since``."""

    since: InboxToken
    limit: int


@dataclass(frozen=True, slots=True)
class Extensions:
    """None: not asked for."""

    to_device: ToDevice | None = None
    e2ee: bool = False
    account_data: Scope | None = None
    receipts: Scope | None = None
    typing: Scope | None = None
    thread_subscriptions: int | None = None
    """At most so many changes."""


@dataclass(frozen=True, slots=True)
class SlidingRequest:
    """``timeout`` is in seconds."""

    conn_id: str = ""
    pos: str | None = None
    timeout: float = 0
    set_presence: str = "online"
    lists: Mapping[str, ListConfig] = field(default_factory=dict)
    subscriptions: Mapping[str, RoomConfig] = field(default_factory=dict)
    extensions: Extensions = Extensions()

    @property
    def by_unread(self) -> bool:
        """Whether a list has only rooms with something to read, or without."""
        return any(config.filters.unread is not None for config in self.lists.values())
