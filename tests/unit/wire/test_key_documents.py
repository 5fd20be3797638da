"""Published keys. Server-Server API, "Publishing Keys"."""

from typing import Any

import pytest
from plexus.protocol.signatures import SigningKey, sign_json
from plexus.protocol.signing_requirements import MAX_VALIDITY_MS
from plexus.wire import read_server_keys
from plexus.wire.errors import BadKeyDocument

NOW = 1_700_000_000_000
KEY = SigningKey("ed25519:new", bytes(32))
OLD = SigningKey("ed25519:old", bytes([1]) * 32)


def document(**changes: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "server_name": "there.org",
        "valid_until_ts": NOW + 1000,
        "verify_keys": {KEY.key_id: {"key": KEY.verify_key.to_base64()}},
        "old_verify_keys": {OLD.key_id: {"key": OLD.verify_key.to_base64(), "expired_ts": NOW - 5}},
    }
    plain.update(changes)
    return sign_json({name: value for name, value in plain.items() if value is not None}, "there.org", KEY)


def test_current_and_old_keys() -> None:
    current, old = read_server_keys(document(), "there.org", NOW)
    assert (current.verify_key.public, current.valid_until_ts) == (KEY.verify_key.public, NOW + 1000)
    assert current.signs_requests_at(NOW) and not current.signs_requests_at(NOW + 1001)
    assert old.expired_ts == NOW - 5 and not old.signs_requests_at(NOW - 10)


def test_nobody_is_believed_for_more_than_seven_days() -> None:
    (current, _) = read_server_keys(document(valid_until_ts=2**52), "there.org", NOW)
    assert current.valid_until_ts == NOW + MAX_VALIDITY_MS


@pytest.mark.parametrize(
    "changes",
    [
        {"server_name": "other.org"},
        {"server_name": None},
        {"valid_until_ts": None},
        {"valid_until_ts": "soon"},
        {"valid_until_ts": True},
        {"verify_keys": {}},
        {"verify_keys": []},
        {"verify_keys": {KEY.key_id: "x"}},
        {"verify_keys": {KEY.key_id: {"key": "short"}}},
        {"verify_keys": {KEY.key_id: {"key": OLD.verify_key.to_base64()}}},
        {"verify_keys": {OLD.key_id: {"key": OLD.verify_key.to_base64()}}},
        {"old_verify_keys": {OLD.key_id: {"key": OLD.verify_key.to_base64()}}},
    ],
)
def test_a_document_that_proves_nothing_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(BadKeyDocument):
        read_server_keys(document(**changes), "there.org", NOW)


def test_an_altered_document_is_refused() -> None:
    with pytest.raises(BadKeyDocument):
        read_server_keys({**document(), "valid_until_ts": NOW + 2000}, "there.org", NOW)


def test_keys_of_unknown_algorithms_are_left_out() -> None:
    keys = {"curve448:x": {"key": "?"}, KEY.key_id: {"key": KEY.verify_key.to_base64()}}
    found = read_server_keys(document(verify_keys=keys, old_verify_keys=None), "there.org", NOW)
    assert [key.verify_key.key_id for key in found] == [KEY.key_id]
