"""Signing keys: made once, rotated without a restart, their past kept."""

from __future__ import annotations

import asyncio
import logging
import os
import stat
from pathlib import Path

import pytest
from plexus.platform.clock import ManualClock
from plexus.platform.signing import SigningKeys, SigningKeysError, create_signing_key
from plexus.platform.watch import Watcher
from plexus.protocol.signatures import SigningKey
from plexus.protocol.signing_key_file import write_signing_keys
from signedjson.key import read_old_signing_keys, read_signing_keys

A = SigningKey("ed25519:a_one", bytes(31) + b"a")
B = SigningKey("ed25519:a_two", bytes(31) + b"b")
C = SigningKey("ed25519:a_three", bytes(31) + b"c")


class Files:
    def __init__(self, folder: Path) -> None:
        self.keys = folder / "signing.key"
        self.old = folder / "signing-old.keys"
        self.clock = ManualClock(1_000)

    def write(self, *keys: SigningKey) -> None:
        """As an orchestrator does it: a new file in the place of the old one."""
        aside = self.keys.with_suffix(".new")
        aside.write_text(write_signing_keys(keys))
        aside.chmod(0o600)
        aside.replace(self.keys)

    def open(self) -> SigningKeys:
        return SigningKeys(self.keys, self.old, self.clock)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def ids(keys: SigningKeys) -> tuple[list[str], dict[str, int]]:
    return [key.key_id for key in keys.all()], {old.verify_key.key_id: old.expired_ts for old in keys.old()}


def test_a_new_key_file(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "signing.key"
    old_umask = os.umask(0)
    try:
        create_signing_key(path)
    finally:
        os.umask(old_umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    text = path.read_text()
    create_signing_key(path)
    assert path.read_text() == text
    assert list(path.parent.iterdir()) == [path]
    # signedjson, which other homeservers use, reads the same key.
    with path.open() as file:
        [theirs] = read_signing_keys(file)
    ours = SigningKeys(path, tmp_path / "old", ManualClock()).current()
    assert f"ed25519:{theirs.version}" == ours.key_id
    assert bytes(theirs.verify_key) == ours.verify_key.public


def test_rotation(files: Files) -> None:
    files.write(A)
    keys = files.open()
    assert keys.current().key_id == A.key_id
    files.write(B, A)
    assert keys.watched.check()
    assert ids(keys) == ([B.key_id, A.key_id], {})
    files.clock.advance(5)
    files.write(B)
    assert keys.watched.check()
    assert ids(keys) == ([B.key_id], {A.key_id: 6_000})
    files.clock.advance(5)
    files.write(C)
    keys.watched.check()
    assert ids(keys) == ([C.key_id], {A.key_id: 6_000, B.key_id: 11_000})
    # The next start knows of them.
    assert ids(files.open()) == ids(keys)
    # And looking again changes nothing.
    keys.watched.check()
    keys.watched.check()
    assert len(files.old.read_text().splitlines()) == 2
    with files.old.open() as file:
        theirs = read_old_signing_keys(file)
    assert {(f"ed25519:{key.version}", key.expired) for key in theirs} == {
        (A.key_id, 6_000),
        (B.key_id, 11_000),
    }


def test_a_key_that_comes_back_is_no_old_key(files: Files) -> None:
    files.write(A)
    keys = files.open()
    files.write(B)
    keys.watched.check()
    files.write(A, B)
    keys.watched.check()
    assert ids(keys) == ([A.key_id, B.key_id], {})


async def test_a_running_server_takes_the_new_key(files: Files) -> None:
    files.write(A)
    keys = files.open()
    watcher = Watcher(0.01)
    watcher.add(keys.watched)
    await watcher.start()
    files.write(B)
    async with asyncio.timeout(5):
        while keys.current().key_id != B.key_id:
            await asyncio.sleep(0.01)
    await watcher.stop()


def test_a_mounted_link_that_moves(files: Files, tmp_path: Path) -> None:
    # Kubernetes: signing.key -> ..data/signing.key, and ..data is the link that changes.
    for name, key in (("v1", A), ("v2", B)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "signing.key").write_text(write_signing_keys([key]))
    link = tmp_path / "data"
    link.symlink_to("v1")
    keys = SigningKeys(link / "signing.key", files.old, files.clock)
    (tmp_path / "link2").symlink_to("v2")
    (tmp_path / "link2").replace(link)
    assert keys.watched.check()
    assert keys.current().key_id == B.key_id


@pytest.mark.parametrize(
    "text", ["", "ed25519 a", "rsa a AAAA", "ed25519 a_x AAAA", write_signing_keys([A, A])]
)
def test_a_broken_file_changes_nothing(files: Files, text: str, caplog: pytest.LogCaptureFixture) -> None:
    files.write(A)
    keys = files.open()
    files.keys.write_text(text)
    assert not keys.watched.check()
    assert not keys.watched.check()
    assert keys.current().key_id == A.key_id
    assert caplog.text.count("Cannot reload") == 1
    files.keys.unlink()
    assert not keys.watched.check()
    files.write(B)
    assert keys.watched.check()
    assert keys.current().key_id == B.key_id


def test_a_key_id_never_names_two_keys(files: Files) -> None:
    files.write(A)
    keys = files.open()
    files.write(SigningKey(A.key_id, bytes(32)))
    assert not keys.watched.check()
    assert keys.current().verify_key.public == A.verify_key.public
    files.write(B)
    keys.watched.check()
    files.write(SigningKey(A.key_id, bytes(32)), B)
    assert not keys.watched.check()


def test_old_keys_that_cannot_be_written_are_kept_and_told(
    files: Files, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files.write(A)
    keys = SigningKeys(files.keys, tmp_path / "no" / "folder" / "old", files.clock)
    files.write(B)
    keys.watched.check()
    assert ids(keys) == ([B.key_id], {A.key_id: 1_000})
    assert f"ed25519 a_one 1000 {A.verify_key.to_base64()}" in caplog.text


@pytest.mark.parametrize(("text", "words"), [(None, "no signing key"), ("x", "line 1"), ("\n", "has no key")])
def test_a_start_without_usable_keys(files: Files, text: str | None, words: str) -> None:
    if text is not None:
        files.keys.write_text(text)
    with pytest.raises(SigningKeysError, match=words):
        files.open()
    files.write(A)
    files.old.write_text("ed25519 x y\n")
    with pytest.raises(SigningKeysError, match="line 1: expected"):
        files.open()


def test_a_key_that_others_can_read_is_warned_of(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    files.write(A)
    with caplog.at_level(logging.WARNING):
        files.open()
        assert not caplog.text
        files.keys.chmod(0o644)
        files.open()
    assert "can be read by others" in caplog.text
