"""plexus.protocol.format"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import orjson
from plexus.protocol import client_event, client_event_prefix, stripped_state

if TYPE_CHECKING:
    from tests.unit.protocol.conftest import Room


def test_a_message(public_room: Room) -> None:
    event = public_room.send("m.room.message", "@alice:one", {"body": "hi"})
    expected = {
        "content": {"body": "hi"},
        "event_id": event.event_id,
        "origin_server_ts": event.origin_server_ts,
        "room_id": public_room.room_id,
        "sender": "@alice:one",
        "type": "m.room.message",
    }
    assert client_event(event) == expected
    assert client_event(event, unsigned={"age": 5}) == {**expected, "unsigned": {"age": 5}}
    del expected["room_id"]
    assert client_event(event, with_room_id=False) == expected


def test_the_create_event_carries_its_room_id(public_room: Room) -> None:
    assert public_room.create is not None
    seen = client_event(public_room.create)
    assert seen["room_id"] == public_room.room_id
    assert seen["state_key"] == ""


def test_redactions_name_their_target_in_both_places(public_room: Room) -> None:
    event = public_room.send("m.room.redaction", "@alice:one", {"reason": "x"}, redacts="$target")
    seen = client_event(event)
    assert seen["redacts"] == "$target"
    assert seen["content"] == {"reason": "x", "redacts": "$target"}


def test_bytes_to_splice_are_the_same_event(public_room: Room) -> None:
    event = public_room.send("m.room.topic", "@alice:one", {"topic": 'a "b" }'}, state_key="")
    for with_room_id in (True, False):
        spliced = client_event_prefix(event, with_room_id) + b',"unsigned":{"age":5}}'
        assert orjson.loads(spliced) == client_event(event, unsigned={"age": 5}, with_room_id=with_room_id)


def test_integers_of_old_rooms_may_have_any_size(new_room: Callable[..., Room]) -> None:
    room = new_room("5")
    event = room.send("org.example", "@alice:one", {"n": 2**80, "x": 0.5})
    prefix = client_event_prefix(event)
    assert b'"n":1208925819614629174706176' in prefix
    assert json.loads(prefix + b"}") == client_event(event)


def test_stripped_state_has_four_members(public_room: Room) -> None:
    rule = public_room.state["m.room.join_rules", ""]
    assert stripped_state(rule) == {
        "type": "m.room.join_rules",
        "state_key": "",
        "sender": "@alice:one",
        "content": {"join_rule": "public"},
    }
