"""plexus.protocol.signatures"""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import signedjson.key
import signedjson.sign
from hypothesis import given
from hypothesis import strategies as st
from plexus.protocol import (
    RoomVersion,
    SigningKey,
    VerifyKey,
    get_room_version,
    redact,
    sign_json,
    verify_json,
)
from plexus.protocol.errors import BadSignature
from plexus.protocol.hashes import decode_base64, encode_base64
from plexus.protocol.signatures import key_ids_of, sign_event, signed_bytes, verify_event

APPENDIX_KEY = SigningKey("ed25519:1", decode_base64("YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1"))


@pytest.mark.parametrize(
    ("obj", "signature"),
    [
        ({}, "K8280/U9SSy9IVtjBuVeLr+HpOB4BQFWbg+UZaADMtTdGYI7Geitb76LTrr5QV/7Xg4ahLwYGYZzuHGZKM5ZAQ"),
        (
            {"one": 1, "two": "Two"},
            "KqmLSbO39/Bzb0QIYE82zqLwsA+PDzYIpIRA2sRQ4sL53+sN6/fpNSoqE7BP7vBZhG6kYdD13EIMJpvhJI+6Bw",
        ),
    ],
)
def test_json_signing_of_the_appendix(obj: dict[str, Any], signature: str) -> None:
    signed = sign_json(obj, "domain", APPENDIX_KEY)
    assert signed == {**obj, "signatures": {"domain": {"ed25519:1": signature}}}
    verify_json(signed, "domain", "ed25519:1", APPENDIX_KEY.verify_key)


@pytest.mark.parametrize(
    ("event", "signature"),
    [
        (
            {
                "auth_events": [],
                "content": {},
                "depth": 3,
                "hashes": {"sha256": "5jM4wQpv6lnBo7CLIghJuHdW+s2CMBJPUOGOC89ncos"},
                "origin": "domain",
                "origin_server_ts": 1000000,
                "prev_events": [],
                "room_id": "!x:domain",
                "sender": "@a:domain",
                "type": "X",
                "unsigned": {"age_ts": 1000000},
            },
            "KxwGjPSDEtvnFgU00fwFz+l6d2pJM6XBIaMEn81SXPTRl16AqLAYqfIReFGZlHi5KLjAWbOoMszkwsQma+lYAg",
        ),
        (
            {
                "content": {"body": "Here is the message content"},
                "event_id": "$0:domain",
                "hashes": {"sha256": "onLKD1bGljeBWQhWZ1kaP9SorVmRQNdN5aM2JYU2n/g"},
                "origin": "domain",
                "origin_server_ts": 1000000,
                "type": "m.room.message",
                "room_id": "!r:domain",
                "sender": "@u:domain",
                "unsigned": {"age_ts": 1000000},
            },
            "Wm+VzmOUOz08Ds+0NTWb1d4CZrVsJSikkeRxh6aCcUwu6pNC78FunoD7KNWzqFn241eYHYMGCA5McEiVPdhzBA",
        ),
    ],
)
def test_event_signing_of_the_appendix(event: dict[str, Any], signature: str) -> None:
    # The vectors keep ``origin``, so they are of a room version up to 10.
    signed = sign_event(get_room_version("10"), event, "domain", APPENDIX_KEY)
    assert signed == {**event, "signatures": {"domain": {"ed25519:1": signature}}}


objects = st.dictionaries(st.text("abc", min_size=1), st.integers(-5, 5) | st.text("xyz"), max_size=5)


@given(objects)
def test_signedjson_agrees_both_ways(obj: dict[str, Any]) -> None:
    theirs = signedjson.key.decode_signing_key_base64(
        "ed25519", "1", "YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1"
    )
    ours = sign_json(obj, "s", APPENDIX_KEY)
    assert ours == signedjson.sign.sign_json(dict(obj), "s", theirs)
    signedjson.sign.verify_signed_json(ours, "s", signedjson.key.get_verify_key(theirs))


@given(objects, st.integers(0, 511))
def test_one_flipped_bit_is_found(obj: dict[str, Any], bit: int) -> None:
    signed = sign_json(obj, "s", APPENDIX_KEY)
    verify_json(signed, "s", "ed25519:1", APPENDIX_KEY.verify_key)
    raw = bytearray(decode_base64(signed["signatures"]["s"]["ed25519:1"]))
    raw[bit // 8] ^= 1 << bit % 8
    forged = {**signed, "signatures": {"s": {"ed25519:1": encode_base64(bytes(raw))}}}
    with pytest.raises(BadSignature):
        verify_json(forged, "s", "ed25519:1", APPENDIX_KEY.verify_key)
    with pytest.raises(BadSignature):
        verify_json({**signed, "added": bit}, "s", "ed25519:1", APPENDIX_KEY.verify_key)


EVENT: dict[str, Any] = {
    "auth_events": ["$a"],
    "content": {"membership": "join", "displayname": "Alice"},
    "depth": 3,
    "hashes": {"sha256": "h"},
    "origin_server_ts": 1000000,
    "prev_events": ["$p"],
    "room_id": "!x:s",
    "sender": "@a:s",
    "state_key": "@a:s",
    "type": "m.room.member",
}


@given(st.data())
def test_one_bit_altered_anywhere_is_found(data: st.DataObject) -> None:
    message = signed_bytes(EVENT)
    parts = [message, decode_base64(APPENDIX_KEY.sign(message)), APPENDIX_KEY.verify_key.public]
    part = data.draw(st.integers(0, 2))
    bit = data.draw(st.integers(0, len(parts[part]) * 8 - 1))
    altered = bytearray(parts[part])
    altered[bit // 8] ^= 1 << bit % 8
    parts[part] = bytes(altered)
    with pytest.raises(BadSignature):
        VerifyKey("ed25519:1", parts[2]).verify(parts[0], encode_base64(parts[1]))


def test_an_event_is_covered_but_for_what_a_redaction_takes(version: RoomVersion) -> None:
    signed = sign_event(version, EVENT, "s", APPENDIX_KEY)
    verify = partial(
        verify_event, version, server_name="s", key_id="ed25519:1", verify_key=APPENDIX_KEY.verify_key
    )
    verify(signed)
    verify(redact(version, signed))
    verify({**signed, "content": {"membership": "join"}, "unsigned": {"age": 1}})
    for altered in (
        *({**signed, key: "x"} for key in EVENT if key != "content"),
        *({key: value for key, value in signed.items() if key != gone} for gone in EVENT),
        {**signed, "content": {"membership": "leave"}},
    ):
        with pytest.raises(BadSignature):
            verify(altered)


def test_signatures_do_not_cover_unsigned_and_do_not_replace_others() -> None:
    other = SigningKey("ed25519:2", bytes(32))
    signed = sign_json({"a": 1, "unsigned": {"age": 1}}, "s", APPENDIX_KEY)
    twice = sign_json({**signed, "unsigned": {"age": 2}}, "t", other)
    verify_json(twice, "s", "ed25519:1", APPENDIX_KEY.verify_key)
    verify_json(twice, "t", "ed25519:2", other.verify_key)
    assert key_ids_of(twice, "s") == ["ed25519:1"]
    assert key_ids_of(twice, "nobody") == []
    with pytest.raises(BadSignature):
        verify_json(twice, "s", "ed25519:2", other.verify_key)


@pytest.mark.parametrize(
    "signatures", [None, {}, [], {"s": 1}, {"s": {"ed25519:1": 1}}, {"s": {"ed25519:1": "short"}}, {"s": {}}]
)
def test_malformed_signatures_are_bad_signatures(signatures: object) -> None:
    with pytest.raises(BadSignature):
        verify_json({"signatures": signatures}, "s", "ed25519:1", APPENDIX_KEY.verify_key)


def test_a_key_does_not_show_its_seed() -> None:
    assert "YJDBA9" not in repr(APPENDIX_KEY)
    restored = VerifyKey.from_base64("ed25519:1", APPENDIX_KEY.verify_key.to_base64())
    assert restored.public == APPENDIX_KEY.verify_key.public
