"""Signing keys and media, when a backup is to be the whole server."""

from __future__ import annotations

import stat
from pathlib import Path

import psycopg
import pytest
from plexus.platform.backup import FileInTheWayError, backup, data_files, restore
from plexus.platform.settings import Settings
from plexus.platform.signing import create_signing_key

from tests.support.postgres import TestDatabase
from tests.support.rows import contents

SERVER = "here.example.org"


def settings(folder: Path, **more: object) -> Settings:
    return Settings(server_name=SERVER, data_dir=folder, **more)


@pytest.fixture
def house(tmp_path: Path) -> Settings:
    """The data folder of a server, without its database."""
    made = settings(tmp_path / "data")
    create_signing_key(made.signing_key_file)
    for name, data in {"aa/bb/one": b"1" * 3_000_000, "aa/two": b"", "cc/three.png": b"\x00\xff"}.items():
        path = made.data_dir / "media" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (made.data_dir / "media" / "aa" / "half#1").write_bytes(b"an upload under way")
    return made


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["copy", "copy.tar"])
def test_keys_and_media_come_back(
    full: TestDatabase, other: TestDatabase, house: Settings, copies: Path, tmp_path: Path, name: str
) -> None:
    made = backup(full.owner, copies / name, server_name=SERVER, files=data_files(house))
    assert made.without == []
    new = settings(tmp_path / "new")
    done = restore(copies / name, other.owner, server_name=SERVER, files=data_files(new))
    before, after = tree(house.data_dir), tree(new.data_dir)
    assert before.pop("media/aa/half#1")
    assert before == after
    assert done.files == len(after) == 4
    assert stat.S_IMODE(new.signing_key_file.stat().st_mode) == 0o600


def test_another_key_is_not_replaced_unasked(
    full: TestDatabase, other: TestDatabase, house: Settings, copies: Path, tmp_path: Path
) -> None:
    backup(full.owner, copies / "copy", server_name=SERVER, files=data_files(house))
    new = settings(tmp_path / "new")
    create_signing_key(new.signing_key_file)
    mine = new.signing_key_file.read_bytes()
    with psycopg.connect(other.owner, autocommit=True) as connection:
        before = contents(connection)
        with pytest.raises(FileInTheWayError, match=r"signing\.key"):
            restore(copies / "copy", other.owner, server_name=SERVER, files=data_files(new))
        assert contents(connection) == before
    assert tree(new.data_dir) == {"signing.key": mine}
    # Without a place for them the files stay in the backup.
    assert restore(copies / "copy", other.owner, server_name=SERVER).files == 0
    restore(copies / "copy", other.owner, server_name=SERVER, files=data_files(new), replace=True)
    assert new.signing_key_file.read_bytes() == house.signing_key_file.read_bytes() != mine


def test_what_is_missing_is_said(full: TestDatabase, copies: Path, tmp_path: Path) -> None:
    bucket = settings(tmp_path / "nothing", media={"store_url": "s3://bucket/media"})
    assert "media" not in data_files(bucket)
    elsewhere = settings(tmp_path / "nothing", media={"store_url": f"file://{tmp_path}/else%20where"})
    assert data_files(elsewhere)["media"] == tmp_path / "else where"
    made = backup(full.owner, copies / "copy", server_name=SERVER, files=data_files(bucket))
    assert [words.split(" (")[0] for words in made.without] == ["the signing key", "the media files"]
    assert made.files == []
