"""What the tail has between two cuts, found through its facts or through the user's rooms."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from plexus.platform.lanes import RoomFact
from plexus.rooms import RoomRef
from plexus.sync.replica.cut import Cut
from plexus.sync.replica.span import Span
from plexus.sync.replica.tail import FamilyTail, LaneTail, TailFact
from plexus.sync.replica.views import Membership

LANES = 4
ROOMS = [RoomRef(f"!{number}", number % LANES, number, "12") for number in range(20)]


def cut(tail: FamilyTail) -> Cut:
    return Cut(1, tail.heads, ())


def append(tail: FamilyTail, ref: RoomRef, kind: RoomFact) -> None:
    lane = tail.lanes[ref.lane]
    tail.append(ref.lane, (lane.head + 1, int(kind), ref.room_id, 1, 1, b"", None))


def joined(*refs: RoomRef) -> dict[str, Membership]:
    return {ref.room_id: Membership(ref, "join", 0, 0, None) for ref in refs}


def test_whichever_way_is_shorter_finds_what_there_is() -> None:
    rng = random.Random(3)
    tail = FamilyTail((0,) * LANES, 1_000_000)
    for _ in range(300):
        since = cut(tail)
        told: set[tuple[str, RoomFact]] = set()
        for _ in range(rng.randrange(12)):
            ref, kind = rng.choice(ROOMS), rng.choice((RoomFact.EVENTS, RoomFact.RECEIPT, RoomFact.REDACTED))
            append(tail, ref, kind)
            told.add((ref.room_id, kind))
        span = Span.of(tail, since, cut(tail))
        mine = joined(*rng.sample(ROOMS, rng.randrange(1, 20)))
        for kind in (RoomFact.EVENTS, RoomFact.RECEIPT):
            found = [membership.ref.room_id for membership in span.among(mine, kind)]
            assert sorted(found) == sorted(room_id for room_id in mine if (room_id, kind) in told)


def test_who_is_in_few_rooms_does_not_walk_through_what_happened_in_all_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tail = FamilyTail((0,) * LANES, 1_000_000)
    since = cut(tail)
    for ref in ROOMS:
        append(tail, ref, RoomFact.EVENTS)

    def between(self: LaneTail, after: int, upto: int) -> Sequence[TailFact]:
        raise AssertionError("walked through the facts of a lane")

    monkeypatch.setattr(LaneTail, "between", between)
    span = Span.of(tail, since, cut(tail))
    assert span.facts == len(ROOMS)
    assert [membership.ref for membership in span.among(joined(ROOMS[3]), RoomFact.EVENTS)] == [ROOMS[3]]


def test_a_tail_that_has_lost_what_was_between_says_so() -> None:
    tail = FamilyTail((0,) * LANES, 500)
    since = cut(tail)
    for _ in range(10):
        append(tail, ROOMS[0], RoomFact.EVENTS)
    assert not Span.of(tail, since, cut(tail)).in_tail
    newest = Cut(1, (9, 0, 0, 0), ())
    span = Span.of(tail, newest, cut(tail))
    assert span.in_tail and span.is_of(tail, newest, span.cut)
    append(tail, ROOMS[0], RoomFact.EVENTS)
    assert not span.is_of(tail, newest, span.cut)


def test_a_receipt_among_very_many_events_is_not_missed() -> None:
    tail = FamilyTail((0,) * LANES, 1_000_000)
    since = cut(tail)
    append(tail, ROOMS[0], RoomFact.RECEIPT)
    for _ in range(500):
        append(tail, ROOMS[0], RoomFact.EVENTS)
    span = Span.of(tail, since, cut(tail))
    assert [membership.ref for membership in span.among(joined(ROOMS[0]), RoomFact.RECEIPT)] == [ROOMS[0]]
