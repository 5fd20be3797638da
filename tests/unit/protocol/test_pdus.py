"""plexus.protocol.pdus"""

from __future__ import annotations

import json
from collections import Counter
from random import Random
from typing import Any

import canonicaljson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plexus.protocol import Event, get_room_version
from plexus.protocol.errors import InvalidEvent
from plexus.protocol.pdus import IncomingPdu, read_pdu, take_pdu

from tests.unit.protocol import obvious_reader
from tests.unit.protocol.conftest import Room
from tests.unit.protocol.obvious_reader import GOOD

ALTERED = 6_000


def raw_of(**changes: Any) -> bytes:
    """The good PDU with changes; a value of bytes stands as it is."""
    marks = {key: f"mark{number}" for number, key in enumerate(changes)}
    raw = json.dumps({**GOOD, **marks}).encode()
    for key, mark in marks.items():
        value = changes[key]
        raw = raw.replace(
            b'"%b"' % mark.encode(), value if isinstance(value, bytes) else json.dumps(value).encode()
        )
    return raw


def compare(raw: bytes) -> str:
    """Ours beside the obvious one; how it ended."""
    try:
        expected = obvious_reader.read(raw)
    except obvious_reader.RefusedError:
        with pytest.raises(InvalidEvent):
            read_pdu(raw)
        return "refused"
    ours = read_pdu(raw)
    assert ours.raw == expected.raw
    assert canonicaljson.encode_canonical_json(ours.pdu) == expected.raw
    assert (ours.strict_fault is None) == expected.is_strict, raw
    return "strict" if expected.is_strict else "lenient"


def test_altered_bytes_are_judged_as_by_the_obvious_reader() -> None:
    random = Random(20)
    ends = Counter(compare(obvious_reader.altered(random, random.randrange(4))) for _ in range(ALTERED))
    # Each of the three must be met often, or the test shows nothing.
    assert min(ends["refused"], ends["lenient"], ends["strict"]) > ALTERED / 20, ends


@given(st.randoms(use_true_random=False), st.integers(0, 6))
def test_altered_bytes_by_hypothesis(random: Random, times: int) -> None:
    compare(obvious_reader.altered(random, times))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"content": b'{"a":1,"a":1}'}, "duplicate"),
        ({"content": rb'{"a":1,"\u0061":1}'}, "duplicate"),
        ({"content": b'{"a":1.0}'}, "integers"),
        ({"content": b'{"a":1e3}'}, "integers"),
        ({"content": b'{"a":-0}'}, "integers"),
        ({"content": b'{"a":9007199254740992}'}, "range"),
        ({"content": b'{"a":123456789012345678901234567890}'}, "range"),
        ({"depth": b"-0"}, "integers"),
    ],
)
def test_what_strict_rooms_alone_refuse(changes: dict[str, Any], words: str) -> None:
    pdu = read_pdu(raw_of(**changes))
    assert pdu.strict_fault is not None and words in pdu.strict_fault
    with pytest.raises(InvalidEvent, match=words):
        pdu.to_event(get_room_version("6"))
    event = pdu.to_event(get_room_version("5"))
    assert event.raw == pdu.raw == canonicaljson.encode_canonical_json(pdu.pdu)


def test_two_contents_are_one_too_many() -> None:
    raw = json.dumps(GOOD).encode().replace(b'"depth"', b'"content": {}, "depth"')
    assert "duplicate" in str(read_pdu(raw).strict_fault)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"content": {"a": "x" * 65536}}, "65536 bytes"),
        ({"content": b"[" * 200 + b"]" * 200}, "deep"),
        ({"content": b"[" * 2000 + b"]" * 2000}, "deep"),
        ({"content": b"[" * 200 + b"1.5" + b"]" * 200}, "deep"),
        ({"unsigned": b"[" * 200 + b"]" * 200}, "deep"),
        ({"content": b'{"a":1e400}'}, "range"),
        ({"content": b'{"a":%b}' % (b"9" * 5000)}, "range"),
        ({"content": rb'{"a":"\ud800"}'}, "surrogates"),
        ({"content": b'{"a":"\xff"}'}, "not JSON"),
        ({"content": b'{"a":NaN}'}, "not JSON"),
        ({"room_id": "!" + "r" * 255}, "room_id is longer"),
        ({"room_id": "!" + "é" * 128}, "room_id is longer"),
        ({"room_id": 1}, "room_id is not a string"),
        ({"event_id": "$" + "e" * 255}, "event_id is longer"),
        ({"sender": "@" + "a" * 255 + ":one"}, "sender is longer"),
        ({"type": "t" * 256}, "type is longer"),
        ({"state_key": "é" * 128}, "state_key is longer"),
        ({"type": "m\0"}, r"type holds U\+0000"),
        ({"state_key": "\0"}, r"state_key holds U\+0000"),
        ({"prev_events": ["$e"] * 21}, "prev_events has more than 20"),
        ({"auth_events": ["$e"] * 11}, "auth_events has more than 10"),
        ({"prev_events": [["$e:one", {"sha256": "h"}]] * 21}, "prev_events has more than 20"),
    ],
)
def test_what_every_room_refuses(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidEvent, match=words):
        read_pdu(raw_of(**changes))


@pytest.mark.parametrize("raw", [b"", b"[]", b'"pdu"', b"null", b"{", b"{}{}"])
def test_what_is_no_object(raw: bytes) -> None:
    with pytest.raises(InvalidEvent):
        read_pdu(raw)


def test_limits_are_inclusive() -> None:
    at_limit: dict[str, Any] = {
        "prev_events": ["$e"] * 20,
        "auth_events": ["$e"] * 10,
        "state_key": "s" * 255,
        "type": "t" * 255,
        "content": {"a": ""},
    }
    empty = len(read_pdu(raw_of(**at_limit)).raw)
    at_limit["content"] = {"a": "x" * (65536 - empty)}
    # White space, escapes and what is unsigned do not count.
    assert len(read_pdu(raw_of(**at_limit, unsigned={"a": "\n" * 9000})).raw) == 65536
    at_limit["content"]["a"] += "x"
    with pytest.raises(InvalidEvent, match="more than 65536"):
        read_pdu(raw_of(**at_limit))


def test_unsigned_is_dropped_and_its_numbers_are_nobodys_business() -> None:
    for unsigned in (b'{"age":1.5}', b'{"age":-0,"age":1e3}', b"[1,2]"):
        pdu = read_pdu(raw_of(unsigned=unsigned))
        assert pdu.strict_fault is None
        assert "unsigned" not in pdu.pdu and b"unsigned" not in pdu.raw


def test_parsed_and_read_are_the_same() -> None:
    value = {key: value for key, value in GOOD.items() if key != "unsigned"}
    assert (
        take_pdu(GOOD)
        == read_pdu(json.dumps(GOOD).encode())
        == IncomingPdu(value, read_pdu(raw_of()).raw, None)
    )
    assert "unsigned" in GOOD
    with pytest.raises(InvalidEvent, match="object"):
        take_pdu([GOOD])


def test_what_we_send_is_taken_as_it_is(public_room: Room) -> None:
    room = public_room
    for event in (*room.state.values(), room.send("m.room.message", "@alice:one", {"body": "hello"})):
        incoming = read_pdu(event.raw)
        assert incoming.room_id == event.pdu().get("room_id")
        again = incoming.to_event(room.version)
        assert again.raw is incoming.raw
        assert again.raw == event.raw and again.event_id == event.event_id
        assert again.pdu() == Event.from_pdu(room.version, event.pdu()).pdu()
