"""What `ObjectStore` promises, of each adapter."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from obstore.store import MemoryStore
from plexus.platform.objects import Objects, open_objects
from plexus.platform.ports import ObjectStore
from plexus.platform.settings import MediaSettings

from tests.support.s3 import BUCKET, Moto, moto


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moto]:
    with moto(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(params=["folder", "memory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ObjectStore]:
    if request.param == "folder":
        yield open_objects(MediaSettings(), tmp_path)
    elif request.param == "memory":
        yield Objects(MemoryStore())
    else:
        server: Moto = request.getfixturevalue("s3")
        # A prefix of the test's own: what the others left is not seen.
        prefix = f"s3://{BUCKET}/of/{tmp_path.name}"
        yield open_objects(MediaSettings(**server.settings(store_url=prefix)), tmp_path)
        assert "Uploads" not in server.client().list_multipart_uploads(Bucket=BUCKET)


async def read(stream: AsyncIterator[bytes] | None) -> bytes:
    assert stream is not None
    return b"".join([chunk async for chunk in stream])


async def test_bytes_go_in_and_come_out(store: ObjectStore) -> None:
    assert await store.get("a/b") is None
    assert await store.head("a/b") is None
    assert await store.put("a/b", b"hello") == 5
    assert await store.get("a/b") == b"hello"
    meta = await store.head("a/b")
    assert meta is not None
    assert (meta.key, meta.size) == ("a/b", 5)
    assert abs(meta.modified_ms - time.time() * 1000) < 60_000
    assert await store.put("a/b", b"") == 0
    assert await store.get("a/b") == b""
    await store.delete("a/b")
    await store.delete("a/b")
    assert await store.get("a/b") is None


async def test_streams(store: ObjectStore) -> None:
    data = os.urandom(6 * 1024 * 1024 + 7)

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(data), 100_000):
            yield data[start : start + 100_000]

    assert await store.put("big", chunks()) == len(data)
    assert await read(await store.stream("big")) == data
    assert await read(await store.stream("big", start=10, end=1_000_000)) == data[10:1_000_000]
    assert await read(await store.stream("big", start=len(data) - 3, end=10**9)) == data[-3:]
    assert await read(await store.stream("big", start=len(data))) == b""
    assert await store.stream("none") is None


async def test_a_stream_that_fails_leaves_nothing(store: ObjectStore, tmp_path: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield os.urandom(6 * 1024 * 1024)
        raise ConnectionError("the client went away")

    with pytest.raises(Exception, match="went away"):
        await store.put("k", broken())
    assert await store.head("k") is None
    assert [meta async for meta in store.list()] == []
    # Nor does one that replaces: the old object stays.
    await store.put("k", b"old")
    with pytest.raises(Exception, match="went away"):
        await store.put("k", broken())
    assert await store.get("k") == b"old"
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path.name for path in left] in ([], ["k"])


async def test_an_upload_that_is_given_up_leaves_nothing(store: ObjectStore, tmp_path: Path) -> None:
    waits = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield os.urandom(12 * 1024 * 1024)
        waits.set()
        await asyncio.Event().wait()

    upload = asyncio.create_task(store.put("k", endless()))
    await waits.wait()
    await asyncio.sleep(0.2)
    upload.cancel()
    with pytest.raises(asyncio.CancelledError):
        await upload
    assert await store.head("k") is None
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


async def test_lists_are_by_folder(store: ObjectStore) -> None:
    for key in ("a/1", "a/b/2", "ab/3"):
        await store.put(key, b"x")
    assert {meta.key async for meta in store.list("a")} == {"a/1", "a/b/2"}
    assert {meta.key async for meta in store.list()} == {"a/1", "a/b/2", "ab/3"}


@pytest.mark.parametrize(
    "key", ["", "/a", "a/", "../a", "a/../b", "a//b", ".a", "a\0", "ä", "a b", "a" * 201]
)
async def test_keys_that_are_none(store: ObjectStore, key: str) -> None:
    with pytest.raises(ValueError, match="no object key"):
        await store.put(key, b"")
    with pytest.raises(ValueError, match="no object key"):
        await store.get(key)
