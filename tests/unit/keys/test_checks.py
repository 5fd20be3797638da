from copy import deepcopy
from typing import Any

import pytest
from plexus.keys.device_keys.checks import read_device_keys, read_fallback_keys, read_one_time_keys
from plexus.protocol.errors import BadJson, InvalidParam, MatrixError, MissingParam

ALICE = "@alice:example.com"
GOOD: dict[str, Any] = {
    "user_id": ALICE,
    "device_id": "JLAFKJWSCS",
    "algorithms": ["m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"],
    "keys": {"curve25519:JLAFKJWSCS": "3C5BFWi2Y8MaVvjM8M22", "ed25519:JLAFKJWSCS": "lEuiRJBit0IG6nUf5pUz"},
    "signatures": {ALICE: {"ed25519:JLAFKJWSCS": "dSO80A01XiigH3uBiDVx"}},
}
SIGNED = {"key": "zKbLg", "signatures": {ALICE: {"ed25519:JLAFKJWSCS": "FLWxX"}}}


def read(keys: dict[str, Any]) -> bytes:
    return read_device_keys(keys, ALICE, "JLAFKJWSCS")


def test_good_keys_are_kept_in_canonical_form_without_unsigned() -> None:
    shuffled = {**dict(reversed(list(GOOD.items()))), "unsigned": {"device_display_name": "x"}}
    assert read(shuffled) == read(GOOD)
    assert b"unsigned" not in read(shuffled)


@pytest.mark.parametrize("member", list(GOOD))
def test_every_member_is_needed(member: str) -> None:
    keys = deepcopy(GOOD)
    del keys[member]
    with pytest.raises(MissingParam, match=member):
        read(keys)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"user_id": "@bob:example.com"}, InvalidParam),
        ({"device_id": "OTHER"}, InvalidParam),
        ({"user_id": None}, InvalidParam),
        ({"algorithms": "m.olm"}, BadJson),
        ({"algorithms": [1]}, BadJson),
        ({"keys": []}, BadJson),
        ({"keys": {"ed25519:JLAFKJWSCS": 1}}, BadJson),
        ({"keys": {"ed25519:OTHER": "x"}}, InvalidParam),
        ({"keys": {"ed25519": "x"}}, InvalidParam),
        ({"signatures": []}, BadJson),
        ({"signatures": {ALICE: "x"}}, BadJson),
        ({"signatures": {ALICE: {"ed25519:A": 1}}}, BadJson),
        ({"extra": 1.5}, BadJson),
    ],
)
def test_what_is_refused(change: dict[str, Any], error: type[MatrixError]) -> None:
    with pytest.raises(error):
        read({**GOOD, **change})


def test_one_time_keys() -> None:
    [key] = read_one_time_keys({"signed_curve25519:AAAAHg": SIGNED}, "one_time_keys")
    assert (key.algorithm, key.key_id) == ("signed_curve25519", "AAAAHg")
    [plain] = read_one_time_keys({"curve25519:AAAAHg": "base64"}, "one_time_keys")
    assert plain.json == b'"base64"'


@pytest.mark.parametrize(
    ("name", "key", "error"),
    [
        ("signed_curve25519", SIGNED, InvalidParam),
        ("signed_curve25519:", SIGNED, InvalidParam),
        (":A", SIGNED, InvalidParam),
        ("a:\0", SIGNED, InvalidParam),
        ("a:" + "x" * 254, SIGNED, InvalidParam),
        ("signed_curve25519:A", "text", BadJson),
        ("signed_curve25519:A", {"key": "x"}, BadJson),
        ("signed_curve25519:A", {"key": 1, "signatures": {}}, BadJson),
        ("signed_curve25519:A", {"key": "x", "signatures": []}, BadJson),
        ("curve25519:A", 7, BadJson),
        ("signed_curve25519:A", {**SIGNED, "n": 0.5}, BadJson),
    ],
)
def test_bad_one_time_keys(name: str, key: object, error: type[MatrixError]) -> None:
    with pytest.raises(error):
        read_one_time_keys({name: key}, "one_time_keys")


def test_one_fallback_key_of_an_algorithm() -> None:
    assert len(read_fallback_keys({"signed_curve25519:A": SIGNED, "curve25519:B": "x"})) == 2
    with pytest.raises(InvalidParam):
        read_fallback_keys({"signed_curve25519:A": SIGNED, "signed_curve25519:B": SIGNED})
