"""plexus.protocol.events"""

from __future__ import annotations

from typing import Any

import canonicaljson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plexus.protocol import (
    ROOM_VERSIONS,
    Event,
    RoomVersion,
    SigningKey,
    add_signature,
    build_event,
    get_room_version,
    redact,
    redact_event,
    redact_raw,
)
from plexus.protocol.errors import BadJson, InvalidEvent, InvalidParam, TooLarge
from plexus.protocol.events import reference_hash_of
from plexus.protocol.hashes import check_content_hash, decode_base64, event_id_of, reference_hash
from plexus.protocol.signatures import verify_event

KEY = SigningKey("ed25519:a_test", bytes(range(32)))


def make(version: RoomVersion, **changes: Any) -> Event:
    given: dict[str, Any] = {
        "room_id": "!room:one",
        "type": "m.room.message",
        "sender": "@alice:one",
        "content": {"msgtype": "m.text", "body": "Grüße \u2028 \x7f"},
        "prev_events": ["$prev"],
        "auth_events": ["$auth", "$other"],
        "depth": 7,
        "origin_server_ts": 1_700_000_000_000,
        "server_name": "one",
        "key": KEY,
    }
    if version.event_ids == "given":
        given["event_id"] = "$own:one"
    if version.references_with_hashes:
        given["reference_hashes"] = {"$prev": "PREV", "$auth": "AUTH", "$other": "OTHER"}
    return build_event(version, **{**given, **changes})


def fields(event: Event) -> dict[str, Any]:
    return {name: getattr(event, name) for name in Event.__slots__}


contents = st.dictionaries(
    st.sampled_from(
        ["membership", "body", "creator", "redacts", "third_party_invite", "users", "invite", "é\n"]
    ),
    st.text(st.characters(exclude_categories=["Cs"])) | st.dictionaries(st.text("ab"), st.integers(0, 9)),
)


@given(
    st.sampled_from(sorted(ROOM_VERSIONS)),
    st.sampled_from(["m.room.message", "m.room.member", "m.room.redaction", "m.room.power_levels", 'x\n"']),
    contents,
    st.none() | st.sampled_from(["", "@alice:one", "ü"]),
)
def test_spliced_bytes_are_what_the_slow_way_gives(
    identifier: str, type: str, content: dict[str, Any], state_key: str | None
) -> None:
    version = get_room_version(identifier)
    event = make(version, type=type, content=content, state_key=state_key)
    pdu = event.pdu()
    assert canonicaljson.encode_canonical_json(pdu) == event.raw
    check_content_hash(pdu)
    assert event_id_of(version, pdu) == event.event_id
    verify_event(version, pdu, "one", KEY.key_id, KEY.verify_key)
    assert fields(Event.from_raw(version, event.raw)) == fields(event)


def test_the_create_event_of_version_12_names_the_room() -> None:
    version = get_room_version("12")
    create = make(version, room_id=None, type="m.room.create", state_key="", prev_events=[], auth_events=[])
    assert "room_id" not in create.pdu()
    assert create.room_id == "!" + create.event_id[1:]
    assert Event.from_pdu(version, create.pdu()).room_id == create.room_id
    with pytest.raises(InvalidParam):
        make(version, type="m.room.create", state_key="")
    with pytest.raises(InvalidParam):
        make(version, room_id=None)
    with pytest.raises(InvalidParam):
        make(get_room_version("11"), room_id=None, type="m.room.create")


def test_redacts_stands_where_the_version_wants_it() -> None:
    old = make(get_room_version("10"), type="m.room.redaction", content={}, redacts="$target")
    assert old.pdu()["redacts"] == "$target"
    assert old.content == {}
    new = make(get_room_version("11"), type="m.room.redaction", content={}, redacts="$target")
    assert "redacts" not in new.pdu()
    assert new.content == {"redacts": "$target"}
    assert old.redacts == new.redacts == "$target"
    for version, event in (("10", old), ("11", new)):
        rules = get_room_version(version)
        assert canonicaljson.encode_canonical_json(event.pdu()) == event.raw
        check_content_hash(event.pdu())
        verify_event(rules, event.pdu(), "one", KEY.key_id, KEY.verify_key)
        assert fields(Event.from_raw(rules, event.raw)) == fields(event)


def test_an_event_from_elsewhere_loses_what_is_not_signed(version: RoomVersion) -> None:
    room_id = "!" + "r" * 43 if version.room_id_is_create_event_hash else "!r:one"
    event = make(version, room_id=room_id)
    received = Event.from_pdu(version, {**event.pdu(), "unsigned": {"age": 1}})
    assert fields(received) == fields(event)
    with pytest.raises(InvalidEvent):
        Event.from_pdu(version, {**event.pdu(), "content": {"body": "x" * 65536}})


def test_before_version_6_numbers_need_not_be_canonical(version: RoomVersion) -> None:
    room_id = "!" + "r" * 43 if version.room_id_is_create_event_hash else "!r:one"
    content = {"b": 1.5, "a": 2**80, "c": 1e16}
    if int(version.identifier) >= 6:
        for key, value in content.items():
            with pytest.raises(InvalidEvent):
                Event.from_pdu(version, {**make(version, room_id=room_id).pdu(), "content": {key: value}})
            with pytest.raises(BadJson):
                make(version, room_id=room_id, content={key: value})
        return
    event = make(version, room_id=room_id, content=content, type="m.room.aliases", state_key="one")
    assert b'"content":{"a":1208925819614629174706176,"b":1.5,"c":1e+16}' in event.raw
    assert fields(Event.from_raw(version, event.raw)) == fields(event)
    assert fields(Event.from_pdu(version, event.pdu())) == fields(event)
    check_content_hash(event.pdu())
    verify_event(version, event.pdu(), "one", KEY.key_id, KEY.verify_key)
    redacted = redact_event(version, event)
    verify_event(version, redacted.pdu(), "one", KEY.key_id, KEY.verify_key)
    assert reference_hash_of(version, redacted.raw) == reference_hash_of(version, event.raw)
    power = {"ban": 2**70, "users": {"@alice:one": 99.5}, "extra": 0.5}
    kept = redact_event(version, make(version, type="m.room.power_levels", content=power, state_key=""))
    assert kept.content == {"ban": 2**70, "users": {"@alice:one": 99.5}}
    for value in (float("nan"), float("inf")):
        with pytest.raises(InvalidEvent):
            Event.from_pdu(version, {**event.pdu(), "content": {"n": value}})


@pytest.mark.parametrize("identifier", ["1", "2"])
def test_versions_1_and_2_hold_their_id_and_hashes_of_what_they_cite(identifier: str) -> None:
    version = get_room_version(identifier)
    event = make(version)
    pdu = event.pdu()
    assert pdu["event_id"] == event.event_id == "$own:one"
    assert pdu["prev_events"] == [["$prev", {"sha256": "PREV"}]]
    assert pdu["auth_events"] == [["$auth", {"sha256": "AUTH"}], ["$other", {"sha256": "OTHER"}]]
    assert (event.prev_events, event.auth_events) == (("$prev",), ("$auth", "$other"))
    after = make(
        version,
        event_id="$next:one",
        prev_events=[event.event_id],
        auth_events=[],
        reference_hashes={event.event_id: reference_hash_of(version, event.raw)},
    )
    [[cited, hashes]] = after.pdu()["prev_events"]
    assert cited == event.event_id
    assert decode_base64(hashes["sha256"]) == reference_hash(version, pdu)
    # The same content under another name is another event.
    assert make(version, event_id="$another:one").raw != event.raw


def test_only_versions_1_and_2_take_an_id(version: RoomVersion) -> None:
    given = version.event_ids == "given"
    for event_id in (
        [None, "own:one", "$own", "$:one", "$own:not a server", "$own:"] if given else ["$own:one"]
    ):
        with pytest.raises(InvalidParam):
            make(version, event_id=event_id)
    if given:
        with pytest.raises(InvalidParam, match=r"\$other"):
            make(version, reference_hashes={"$prev": "PREV", "$auth": "AUTH"})


def test_depth_reaches_as_far_as_the_integers_of_the_version(version: RoomVersion) -> None:
    room_id = "!" + "r" * 43 if version.room_id_is_create_event_hash else "!r:one"
    deepest = make(version, room_id=room_id, depth=version.max_integer)
    assert Event.from_pdu(version, deepest.pdu()).depth == version.max_integer
    with pytest.raises(InvalidParam):
        make(version, depth=version.max_integer + 1)
    with pytest.raises(InvalidEvent):
        Event.from_pdu(version, {**deepest.pdu(), "depth": version.max_integer + 1})


def test_a_redacted_event_keeps_id_and_signature(version: RoomVersion) -> None:
    event = make(version)
    redacted = redact_event(version, event)
    assert redacted.content == {}
    assert redacted.event_id == event.event_id == event_id_of(version, redacted.pdu())
    verify_event(version, redacted.pdu(), "one", KEY.key_id, KEY.verify_key)
    assert redacted.raw == redact_raw(version, event.raw) == redact_raw(version, redacted.raw)
    assert redacted.pdu() == redact(version, event.pdu())


def test_a_second_signature_changes_nothing_else(version: RoomVersion) -> None:
    event = make(version)
    other = SigningKey("ed25519:b", bytes(32))
    twice = add_signature(version, event, "two", other)
    assert twice.event_id == event.event_id == event_id_of(version, twice.pdu())
    verify_event(version, twice.pdu(), "one", KEY.key_id, KEY.verify_key)
    verify_event(version, twice.pdu(), "two", "ed25519:b", other.verify_key)


def test_the_size_limit_is_exact_and_known_before_signing() -> None:
    version = get_room_version("12")

    class Unused(SigningKey):
        def sign(self, message: bytes) -> str:
            raise AssertionError("must not be reached")

    room = len(make(version, content={"body": ""}).raw)
    largest = make(version, content={"body": "x" * (65536 - room)})
    assert len(largest.raw) == 65536
    with pytest.raises(TooLarge):
        make(version, content={"body": "x" * (65537 - room)}, key=Unused("ed25519:a_test", bytes(32)))


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"type": "x" * 256}, TooLarge),
        ({"type": "é" * 128}, TooLarge),
        ({"state_key": "x" * 256}, TooLarge),
        ({"type": ""}, InvalidParam),
        ({"sender": "alice"}, InvalidParam),
        ({"sender": "@" + "a" * 260 + ":one"}, InvalidParam),
        ({"room_id": "room"}, InvalidParam),
        ({"state_key": "\ud800"}, InvalidParam),
        ({"type": "\ud800"}, InvalidParam),
        ({"redacts": "$target"}, InvalidParam),
        ({"depth": -1}, InvalidParam),
        ({"depth": 2**53}, InvalidParam),
        ({"prev_events": ["$x"] * 21}, InvalidParam),
        ({"auth_events": ["$x"] * 11}, InvalidParam),
        ({"content": {"a": 1.5}}, BadJson),
        ({"content": {"a": "\ud800"}}, BadJson),
        ({"content": {"a": 2**53}}, BadJson),
    ],
)
def test_limits(change: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        make(get_room_version("12"), **change)


def test_only_state_has_a_key() -> None:
    version = get_room_version("12")
    assert make(version, type="m.room.topic", state_key="").key == ("m.room.topic", "")
    with pytest.raises(ValueError, match="state"):
        _ = make(version).key
