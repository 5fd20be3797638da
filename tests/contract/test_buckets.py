"""A bucket that cannot be used: clients get an error in time, the operator is told why."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from plexus.platform.doctor.media import media
from plexus.platform.objects import Objects, open_objects
from plexus.platform.settings import MediaSettings, Settings, SettingsError, load_settings
from plexus.protocol.errors import Unavailable

from deploy.local.program import free_port
from tests.support.s3 import BUCKET, Moto, moto


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moto]:
    """It looks at the keys, and knows none: whoever signs is refused after the bucket is made."""
    with moto(tmp_path_factory.mktemp("s3"), keys=True) as server:
        yield server


def opened(settings: dict[str, Any]) -> Objects:
    return open_objects(MediaSettings(**settings), Path("unused"))


async def pieces() -> AsyncIterator[bytes]:
    yield os.urandom(6 * 1024 * 1024)
    yield os.urandom(6 * 1024 * 1024)


async def all_refuse(store: Objects, within: float) -> None:
    """Each of the port's methods says `Unavailable`, in time, and nothing of what is inside."""
    began = time.monotonic()

    async def listed() -> list[Any]:
        return [meta async for meta in store.list()]

    for ask in (
        lambda: store.put("a", b"x"),
        lambda: store.put("a", pieces()),
        lambda: store.get("a"),
        lambda: store.head("a"),
        lambda: store.stream("a"),
        lambda: store.delete("a"),
        listed,
    ):
        with pytest.raises(Unavailable) as caught:
            await ask()
        assert "127.0.0.1" not in caught.value.message
        assert BUCKET not in caught.value.message
    assert time.monotonic() - began < within


async def test_a_key_that_is_refused(s3: Moto, caplog: pytest.LogCaptureFixture) -> None:
    store = opened(s3.settings(store_secret_access_key="not to be seen"))
    with caplog.at_level(logging.ERROR):
        await all_refuse(store, 30)
    assert "403" in caplog.text
    assert "not to be seen" not in caplog.text
    trouble = await store.trouble()
    assert trouble is not None
    assert "403" in trouble


async def test_a_server_that_is_not_there(caplog: pytest.LogCaptureFixture) -> None:
    settings = {
        "store_url": f"s3://{BUCKET}",
        "store_endpoint": f"http://127.0.0.1:{free_port()}",
        "store_access_key_id": "a",
        "store_secret_access_key": "b",
        "store_timeout_seconds": 0.5,
    }
    store = opened(settings)
    await all_refuse(store, 60)
    assert "The object store failed" in caplog.text
    assert await store.trouble() is not None


async def test_a_server_that_says_nothing(tmp_path: Path) -> None:
    with moto(tmp_path) as server:
        store = opened(server.settings())
        assert await store.trouble() is None
        server.freeze()
        try:
            await all_refuse(opened(server.settings(store_timeout_seconds=0.5)), 60)
        finally:
            server.thaw()
        assert await store.trouble() is None


async def test_a_bucket_that_is_not_there(tmp_path: Path) -> None:
    with moto(tmp_path) as server:
        store = opened(server.settings(store_url="s3://nowhere"))
        for ask in (store.put("a", b"x"), store.put("a", pieces()), store.get("a"), store.delete("a")):
            with pytest.raises(Unavailable):
                await ask
        trouble = await store.trouble()
        assert trouble is not None
        assert "NoSuchBucket" in trouble
        [finding] = await media(Settings(media=server.settings(store_url="s3://nowhere")))
        assert (finding.topic, finding.level) == ("media", "failure")
        assert "NoSuchBucket" in finding.says
        [finding] = await media(Settings(media=server.settings()))
        assert finding.level == "ok"
        assert await media(Settings()) == []


async def test_the_environment_says_what_the_settings_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with moto(tmp_path) as server:
        for name, value in {
            "AWS_ACCESS_KEY_ID": "from-the-environment",
            "AWS_SECRET_ACCESS_KEY": "x",
            "AWS_ENDPOINT_URL": server.endpoint,
            "AWS_REGION": "eu-central-1",
            "AWS_ALLOW_HTTP": "true",
        }.items():
            monkeypatch.setenv(name, value)
        store = opened({"store_url": f"s3://{BUCKET}/env"})
        await asyncio.wait_for(store.put("a", b"x"), 20)
        listed = server.client().list_objects_v2(Bucket=BUCKET)
        assert [item["Key"] for item in listed["Contents"]] == ["env/a"]


@pytest.mark.parametrize(
    ("media", "why"),
    [
        ({"store_endpoint": "http://a"}, "for an s3://"),
        ({"store_url": "s3://b", "store_endpoint": "a:1"}, "store_endpoint"),
        ({"store_url": "ftp://b"}, "store_url"),
    ],
)
def test_settings_that_do_not_fit(media: dict[str, Any], why: str) -> None:
    with pytest.raises(SettingsError, match=why):
        load_settings(env={}, overrides={"media": media})
