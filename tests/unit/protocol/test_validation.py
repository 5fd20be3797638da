"""plexus.protocol.validation"""

from __future__ import annotations

from typing import Any

import pytest
from plexus.protocol import get_room_version
from plexus.protocol.errors import InvalidEvent
from plexus.protocol.validation import check_pdu

GOOD: dict[str, Any] = {
    "room_id": "!r:one",
    "type": "m.room.message",
    "sender": "@alice:one",
    "content": {},
    "depth": 1,
    "origin_server_ts": 1,
    "prev_events": ["$a"],
    "auth_events": ["$b"],
    "hashes": {"sha256": "x"},
    "signatures": {"one": {"ed25519:1": "x"}},
}
HASH_ROOM = "!" + "r" * 43


def test_good_events_pass() -> None:
    check_pdu(get_room_version("10"), GOOD)
    check_pdu(get_room_version("11"), {**GOOD, "state_key": "x" * 255, "type": "x" * 255, "anything": "else"})
    check_pdu(get_room_version("12"), {**GOOD, "room_id": HASH_ROOM, "sender": "@Ä:one"})


@pytest.mark.parametrize("missing", sorted(GOOD))
def test_everything_is_needed(missing: str) -> None:
    with pytest.raises(InvalidEvent):
        check_pdu(get_room_version("11"), {key: value for key, value in GOOD.items() if key != missing})


@pytest.mark.parametrize(
    "change",
    [
        {"type": 1},
        {"type": "x" * 256},
        {"state_key": None},
        {"state_key": "é" * 128},
        {"sender": "alice"},
        {"sender": "@" + "a" * 255 + ":one"},
        {"room_id": "r"},
        {"content": []},
        {"hashes": {"sha256": 1}},
        {"signatures": {"one": 1}},
        {"signatures": {"one": {"ed25519:1": 1}}},
        {"depth": -1},
        {"depth": 2**53},
        {"depth": True},
        {"depth": 1.0},
        {"origin_server_ts": "1"},
        {"prev_events": "$a"},
        {"prev_events": [["$a", {}]]},
        {"prev_events": ["$a"] * 21},
        {"auth_events": ["$a"] * 11},
        {"auth_events": [""]},
        {"room_id": HASH_ROOM},
    ],
)
def test_wrong_shapes(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidEvent):
        check_pdu(get_room_version("11"), {**GOOD, **change})


def test_counts_are_inclusive() -> None:
    check_pdu(get_room_version("11"), {**GOOD, "prev_events": ["$a"] * 20, "auth_events": ["$a"] * 10})


def test_room_ids_follow_the_version() -> None:
    twelve = get_room_version("12")
    with pytest.raises(InvalidEvent):
        check_pdu(twelve, GOOD)
    create = {**GOOD, "type": "m.room.create", "room_id": HASH_ROOM}
    with pytest.raises(InvalidEvent):
        check_pdu(twelve, create)
    del create["room_id"]
    check_pdu(twelve, create)
    with pytest.raises(InvalidEvent):
        check_pdu(get_room_version("11"), create)


PAIR = ["$a:one", {"sha256": "x"}]
WITH_PAIRS = {**GOOD, "event_id": "$e:one", "prev_events": [PAIR], "auth_events": [PAIR, PAIR]}


@pytest.mark.parametrize("version", ["1", "2"])
def test_versions_1_and_2_cite_events_by_pairs(version: str) -> None:
    rules = get_room_version(version)
    check_pdu(rules, WITH_PAIRS)
    check_pdu(rules, {**WITH_PAIRS, "prev_events": [], "event_id": "$e:one:8448"})
    # Nobody looks at the hash, and old rooms hold all kinds.
    check_pdu(rules, {**WITH_PAIRS, "prev_events": [["$a:one", {}]] * 20})


@pytest.mark.parametrize(
    "change",
    [
        {"event_id": None},
        {"event_id": "$hash"},
        {"event_id": "$e:"},
        {"event_id": "$" + "e" * 255 + ":one"},
        {"prev_events": ["$a:one"]},
        {"prev_events": [["$a:one"]]},
        {"prev_events": [["$a:one", {}, 1]]},
        {"prev_events": [["$a:one", "x"]]},
        {"prev_events": [["a", {}]]},
        {"prev_events": [PAIR] * 21},
        {"auth_events": [PAIR] * 11},
        {"depth": 2**63},
        {"depth": 1.0},
        {"redacts": 5, "type": "m.room.redaction"},
    ],
)
def test_wrong_shapes_in_versions_1_and_2(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidEvent):
        check_pdu(get_room_version("1"), {**WITH_PAIRS, **change})


def test_an_id_is_needed_in_versions_1_and_2_only() -> None:
    nameless = {key: value for key, value in WITH_PAIRS.items() if key != "event_id"}
    with pytest.raises(InvalidEvent):
        check_pdu(get_room_version("2"), nameless)
    check_pdu(get_room_version("3"), GOOD)
    with pytest.raises(InvalidEvent):
        check_pdu(get_room_version("3"), WITH_PAIRS)


def test_redacts_is_checked_where_it_is_a_top_level_key_of_redactions() -> None:
    redaction = {**GOOD, "type": "m.room.redaction", "redacts": 5}
    with pytest.raises(InvalidEvent):
        check_pdu(get_room_version("10"), redaction)
    check_pdu(get_room_version("11"), redaction)
    check_pdu(get_room_version("10"), {**GOOD, "redacts": 5})
