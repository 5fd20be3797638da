"""The values of the log: facts, the groups they are published in, heads, generations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from plexus.platform.lanes.kinds import ROOM


@dataclass(frozen=True, slots=True)
class Fact:
    """One durable change that somebody may have to be told of.

    ``position`` counts from 1 in its lane, without holes. ``kind`` is a `RoomFact` or `UserFact`, ``subject``
    the room or user id. ``lo``, ``hi`` and ``data`` mean what the kind says. ``body`` is a serialised
    ``RoomBody`` that rides along with a published room event, or a ``ReceiptBody`` with receipts; a fact read
    from PostgreSQL has none.
    """

    position: int
    kind: int
    subject: str
    lo: int = 0
    hi: int = 0
    data: bytes = b""
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """What one commit put in one lane: facts of consecutive positions, at least one.

    ``trace`` is the W3C ``traceparent`` of the span that published it, if that is traced.
    """

    generation: int
    family: str
    lane: int
    facts: tuple[Fact, ...]
    trace: str | None = None

    @property
    def first(self) -> int:
        return self.facts[0].position

    @property
    def last(self) -> int:
        return self.facts[-1].position


@dataclass(frozen=True, slots=True)
class Heads:
    """The last position of every lane, and the generation they belong to, as of one statement."""

    generation: int
    rooms: tuple[int, ...]
    users: tuple[int, ...]

    def of(self, family: str) -> tuple[int, ...]:
        return self.rooms if family == ROOM else self.users


@dataclass(frozen=True, slots=True)
class Generation:
    """``number`` counts up along the parents; ``room_heads`` and ``user_heads`` are where this one began."""

    id: int
    number: int
    parent: int | None
    timeline: int
    system_id: int
    room_heads: tuple[int, ...]
    user_heads: tuple[int, ...]

    def heads_of(self, family: str) -> tuple[int, ...]:
        return self.room_heads if family == ROOM else self.user_heads


@dataclass(frozen=True, slots=True)
class Tail:
    """What follows a position in one lane: ``head``, ``floor`` and facts as of one statement.

    ``facts`` may stop before ``head`` when the caller's limit cut it.
    """

    head: int
    floor: int
    facts: Sequence[Fact]


@dataclass(frozen=True, slots=True)
class Tails:
    generation: int
    lanes: Mapping[tuple[str, int], Tail]


class BelowFloor(LookupError):  # noqa: N818 - a finding, not a fault
    """The facts asked for are partly dropped: positions up to and including ``floor`` are gone."""

    def __init__(self, family: str, lane: int, floor: int) -> None:
        super().__init__(f"lane {family}{lane} begins after position {floor}")
        self.family = family
        self.lane = lane
        self.floor = floor
