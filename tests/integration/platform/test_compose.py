"""The platform composed: embedded from an empty folder, again from a copy, and by address."""

from __future__ import annotations

import asyncio
import shutil
import stat
from pathlib import Path

import pytest
from plexus.platform.compose import open_platform
from plexus.platform.http import Gateway, make_app
from plexus.platform.service import Service
from plexus.platform.settings import Settings
from plexus.platform.signing import SigningKeysError
from pydantic import SecretStr

from tests.support.http import AsgiClient
from tests.support.postgres import TestDatabase, database

__all__ = ["database"]


def settings(data: Path, **more: object) -> Settings:
    return Settings.model_validate({"data_dir": data, "server_name": "here.example.org", **more})


async def test_embedded_from_nothing_and_from_a_copy(tmp_path: Path) -> None:
    tmp_path.chmod(0o711)
    data = tmp_path / "data"
    async with open_platform(settings(data), service="all") as first:
        key = first.keys.current().key_id
        generation = first.log.generation()
        await first.objects.put("a/b", b"media")
        # The job that keeps partitions ready has had its first round.
        async with asyncio.timeout(10):
            while b"plexus_lanes_segments_ahead 2.0" not in first.telemetry.prometheus():
                await asyncio.sleep(0.05)
        lease = await first.leadership.acquire("x", "h", ttl_ms=1_000)
        assert lease is not None
        gateway = Gateway([Service("t", make_app("t"))], first)
        assert (await AsgiClient(gateway).get("/")).status == 404
        assert b"db_client_connection_max" in first.telemetry.prometheus()
    assert stat.S_IMODE((data / "signing.key").stat().st_mode) == 0o600

    copy = tmp_path / "copy"
    shutil.copytree(data, copy)
    # A copy made by root belongs to root; the start puts that right.
    async with open_platform(settings(copy), service="all") as second:
        assert second.keys.current().key_id == key
        assert second.log.generation() != generation
        assert await second.objects.get("a/b") == b"media"


async def test_by_address_the_key_must_be_there(database: TestDatabase, tmp_path: Path) -> None:
    by_address = settings(
        tmp_path, database={"dsn": SecretStr(database.writer), "reader_dsn": SecretStr(database.reader)}
    )
    with pytest.raises(SigningKeysError, match="no signing key"):
        async with open_platform(by_address, service="test"):
            pass
    assert not list(tmp_path.iterdir())
