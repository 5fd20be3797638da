"""Events as bytes, and fragments spliced from them."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from plexus.protocol.filters import Filter
from plexus.rooms import Place, RoomSummary, TimelineToken
from plexus.sync.events import SyncEvent
from plexus.sync.filters import Shape
from plexus.sync.fragments.fragment import Fragment
from plexus.sync.models import STATE, STATE_AFTER

from tests.unit.sync.events import REF, member, stored

ALICE, BOB = "@alice:example.org", "@bob:example.org"
NOBODY: frozenset[str] = frozenset()


def fragment(**changes: Any) -> Fragment:
    base: dict[str, Any] = {
        "ref": REF,
        "events": [SyncEvent(stored(4)), SyncEvent(stored(5, txn=("DEVICE", "t1")))],
        "limited": True,
        "prev_batch": TimelineToken(Place(4).before),
        "state": [b'{"type":"m.room.name"}'],
        "snapshot": 1,
    }
    return Fragment(**(base | changes))


def section(
    made: Fragment,
    viewer: str = BOB,
    device: str | None = "OTHER",
    lazy: frozenset[str] = NOBODY,
    keys: tuple[bytes, ...] = STATE,
) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(made.render(viewer, device, lazy, 3_000, keys) + b"}")
    return found


def test_an_event_has_the_client_form_without_its_room() -> None:
    event = orjson.loads(SyncEvent(member(7, BOB, "join")).json(5_000, b"join"))
    assert event == {
        "content": {"membership": "join"},
        "event_id": "$event7",
        "origin_server_ts": 1_000,
        "sender": BOB,
        "state_key": BOB,
        "type": "m.room.member",
        "unsigned": {"age": 4_000, "membership": "join"},
    }


def test_what_an_event_replaced_stands_in_its_unsigned() -> None:
    event = member(7, BOB, "leave")
    event.attach(replaces_state="$before", prev_content=b'{"membership":"join"}')
    unsigned = orjson.loads(SyncEvent(event).state_json(1_000))["unsigned"]
    assert unsigned == {"age": 0, "replaces_state": "$before", "prev_content": {"membership": "join"}}


def test_an_event_from_the_future_has_no_negative_age() -> None:
    assert orjson.loads(SyncEvent(stored(1, ts=9_000)).state_json(1_000))["unsigned"]["age"] == 0


def test_a_section_has_timeline_and_state() -> None:
    found = section(fragment())
    assert [event["event_id"] for event in found["timeline"]["events"]] == ["$event4", "$event5"]
    assert found["timeline"]["limited"] is True
    assert found["timeline"]["prev_batch"] == "t4_-1"
    assert found["state"] == {"events": [{"type": "m.room.name"}]}
    assert "state_after" not in found and "summary" not in found


def test_state_after_is_there_even_if_empty_and_state_is_not() -> None:
    found = section(fragment(state=[]), keys=STATE_AFTER)
    assert found["state_after"] == {"events": []}
    assert "state" not in found
    assert "state" not in section(fragment(state=[]))


def test_one_fragment_has_its_state_by_the_name_that_each_wants() -> None:
    shared = fragment()
    unstable = b"org.matrix.msc4222.state_after"
    both = (*STATE_AFTER, unstable)
    for keys in (STATE_AFTER, (unstable,), both, STATE_AFTER):
        found = section(shared, keys=keys)
        names = {name: value for name, value in found.items() if "state" in name}
        assert names == {key.decode(): {"events": [{"type": "m.room.name"}]} for key in keys}
    assert shared.render(BOB, None, NOBODY, 3_000, both) is shared.render(ALICE, None, NOBODY, 3_000, both)


@pytest.mark.parametrize(
    ("viewer", "device", "seen"),
    [(ALICE, "DEVICE", "t1"), (ALICE, "OTHER", None), (ALICE, None, None), (BOB, "DEVICE", None)],
)
def test_only_the_device_that_sent_an_event_sees_its_transaction_id(
    viewer: str, device: str | None, seen: str | None
) -> None:
    shared = fragment()
    assert section(shared)["timeline"]["events"][1]["unsigned"].get("transaction_id") is None
    unsigned = section(shared, viewer, device)["timeline"]["events"][1]["unsigned"]
    assert unsigned.get("transaction_id") == seen
    # The variant of one is never handed to another.
    assert section(shared)["timeline"]["events"][1]["unsigned"].get("transaction_id") is None


def test_members_share_the_same_bytes() -> None:
    shared = fragment()
    first = shared.render(BOB, "A", NOBODY, 3_000, STATE)
    assert shared.render("@carol:example.org", None, NOBODY, 3_200, STATE) is first
    aged = orjson.loads(shared.render(BOB, "A", NOBODY, 60_000, STATE) + b"}")
    assert aged["timeline"]["events"][0]["unsigned"]["age"] == 59_000


def test_nobody_is_their_own_hero() -> None:
    users = tuple(f"@u{n}:example.org" for n in range(6))
    shared = fragment(summary=RoomSummary(6, 1, users))
    assert section(shared)["summary"] == {
        "m.heroes": list(users[:5]),
        "m.joined_member_count": 6,
        "m.invited_member_count": 1,
    }
    assert section(shared, users[2])["summary"]["m.heroes"] == [*users[:2], *users[3:]]
    assert section(shared, users[5])["summary"]["m.heroes"] == list(users[:5])


def test_member_events_are_added_for_those_who_lack_them() -> None:
    shared = fragment(lazy=frozenset({ALICE}))
    shared.members[ALICE] = b'{"type":"m.room.member"}'
    shared.members["@nobody:example.org"] = None
    assert len(section(shared)["state"]["events"]) == 1
    assert len(section(shared, lazy=frozenset({ALICE, "@nobody:example.org"}))["state"]["events"]) == 2
    assert len(section(shared)["state"]["events"]) == 1


def test_the_fields_wanted_are_all_that_is_sent() -> None:
    found = section(fragment(event_fields=("type", "content.body")))
    assert found["timeline"]["events"][0] == {"type": "m.room.message", "content": {"body": "message 4"}}


def test_memberships_of_one_viewer_stand_with_the_events() -> None:
    own = fragment(memberships=["invite", "join"])
    events = section(own)["timeline"]["events"]
    assert [event["unsigned"]["membership"] for event in events] == ["invite", "join"]


@pytest.mark.parametrize(
    ("wanted", "passes"),
    [
        ({}, True),
        ({"types": ["m.room.*"]}, True),
        ({"not_types": ["m.room.message"]}, False),
        ({"contains_url": True}, False),
        ({"contains_url": False}, True),
        ({"senders": [ALICE], "contains_url": False}, True),
        ({"not_senders": [ALICE], "contains_url": False}, False),
        ({"rooms": ["!other:example.org"]}, False),
    ],
)
def test_a_shape_filters_events_without_their_content(wanted: dict[str, Any], passes: bool) -> None:
    shape = Shape(Filter.parse({"room": {"timeline": wanted}}))
    assert shape.in_timeline(SyncEvent(stored(1)), REF.room_id) is passes


def test_the_limit_of_a_timeline_is_bounded() -> None:
    assert Shape(Filter()).limit == 10
    assert Shape(Filter.parse({"room": {"timeline": {"limit": 10_000}}})).limit == 100
    assert Shape(Filter.parse({"room": {"timeline": {"types": []}}})).limit == 0
