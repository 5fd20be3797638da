"""What we publish is what our own reader of other servers' documents accepts."""

import os
from pathlib import Path

import orjson
import pytest
from plexus.keys.server_keys.service import HOUR_MS, KeyDocument
from plexus.platform.clock import ManualClock
from plexus.platform.signing import SigningKeys
from plexus.protocol.signatures import SigningKey
from plexus.protocol.signing_key_file import write_signing_keys
from plexus.wire import read_server_keys

OLD = SigningKey("ed25519:old", b"\1" * 32)
NEW = SigningKey("ed25519:new", b"\2" * 32)
NOW = 1_700_000_000_000


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def keys(tmp_path: Path, clock: ManualClock) -> SigningKeys:
    file = tmp_path / "signing.key"
    file.write_text(write_signing_keys([OLD]))
    os.chmod(file, 0o600)
    return SigningKeys(file, tmp_path / "old.keys", clock)


def test_the_document_is_signed_and_valid_for_a_day(keys: SigningKeys, clock: ManualClock) -> None:
    document = orjson.loads(KeyDocument("example.org", keys, clock).json())
    [key] = read_server_keys(document, "example.org", NOW)
    assert key.verify_key.public == OLD.verify_key.public
    assert 23 * HOUR_MS < document["valid_until_ts"] - NOW <= 24 * HOUR_MS
    assert document["old_verify_keys"] == {}


def test_a_rotation_is_published_at_once(tmp_path: Path, keys: SigningKeys, clock: ManualClock) -> None:
    document = KeyDocument("example.org", keys, clock)
    document.json()
    (tmp_path / "signing.key").write_text(write_signing_keys([NEW]))
    clock.advance(60)
    keys.reload()
    found = read_server_keys(orjson.loads(document.json()), "example.org", clock.now_ms())
    assert [(key.verify_key.key_id, key.expired_ts) for key in found] == [
        ("ed25519:new", None),
        ("ed25519:old", NOW + 60_000),
    ]


def test_every_key_signs(tmp_path: Path, keys: SigningKeys, clock: ManualClock) -> None:
    (tmp_path / "signing.key").write_text(write_signing_keys([NEW, OLD]))
    keys.reload()
    document = orjson.loads(KeyDocument("example.org", keys, clock).json())
    assert set(document["signatures"]["example.org"]) == {"ed25519:new", "ed25519:old"}
    assert len(read_server_keys(document, "example.org", NOW)) == 2


def test_it_is_made_once_an_hour(keys: SigningKeys, clock: ManualClock) -> None:
    document = KeyDocument("example.org", keys, clock)
    first = document.json()
    assert document.json() is first
    clock.advance(3600)
    assert document.json() != first
