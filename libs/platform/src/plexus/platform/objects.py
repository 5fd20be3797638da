"""The object store: a folder or a bucket, by obstore.

The folder adapter writes beside and renames, so a reader never sees half an object.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import obstore
from obstore.store import LocalStore, from_url
from obstore.store import ObjectStore as Backend
from plexus.platform.ports import ObjectMeta

_SEGMENT = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}")
_CHUNK = 256 * 1024


def _check(key: str) -> str:
    if not all(_SEGMENT.fullmatch(segment) for segment in key.split("/")):
        raise ValueError(f"{key!r} is no object key")
    return key


class Objects:
    """An `ObjectStore` over whatever obstore reaches."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def put(self, key: str, data: bytes | AsyncIterator[bytes]) -> int:
        _check(key)
        if isinstance(data, bytes):
            await obstore.put_async(self._backend, key, data)
            return len(data)
        counted = _Counted(data)
        await obstore.put_async(self._backend, key, counted, use_multipart=True)
        return counted.size

    async def get(self, key: str) -> bytes | None:
        try:
            found = await obstore.get_async(self._backend, _check(key))
        except FileNotFoundError:
            return None
        return bytes(await found.bytes_async())

    async def head(self, key: str) -> ObjectMeta | None:
        try:
            meta = await obstore.head_async(self._backend, _check(key))
        except FileNotFoundError:
            return None
        return ObjectMeta(key, meta["size"], int(meta["last_modified"].timestamp() * 1000))

    async def stream(
        self, key: str, *, start: int = 0, end: int | None = None
    ) -> AsyncIterator[bytes] | None:
        meta = await self.head(key)
        if meta is None:
            return None
        stop = meta.size if end is None else min(end, meta.size)
        if start >= stop:
            return _nothing()
        try:
            found = await obstore.get_async(self._backend, key, options={"range": (start, stop)})
        except FileNotFoundError:
            return None
        return _chunks(found)

    async def delete(self, key: str) -> None:
        try:
            await obstore.delete_async(self._backend, _check(key))
        except FileNotFoundError:
            return

    async def list(self, prefix: str = "") -> AsyncIterator[ObjectMeta]:
        if prefix:
            _check(prefix)
        async for page in obstore.list(self._backend, prefix or None):
            for meta in page:
                modified = int(meta["last_modified"].timestamp() * 1000)
                yield ObjectMeta(meta["path"], meta["size"], modified)


class _Counted:
    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self.size = 0

    def __aiter__(self) -> _Counted:
        return self

    async def __anext__(self) -> bytes:
        chunk = await anext(self._chunks)
        self.size += len(chunk)
        return chunk


async def _chunks(found: obstore.GetResult) -> AsyncIterator[bytes]:
    async for chunk in found.stream(min_chunk_size=_CHUNK):
        yield bytes(chunk)


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""  # makes it a generator


def open_objects(store_url: str | None, data_dir: Path) -> Objects:
    """The store of the settings: a URL (``s3://bucket/prefix``), or the folder ``media`` below
    ``data_dir``.
    """
    if store_url is None:
        return Objects(LocalStore(data_dir.absolute() / "media", mkdir=True))
    if store_url.startswith("file://"):
        return Objects(LocalStore(Path(store_url.removeprefix("file://")), mkdir=True))
    return Objects(from_url(store_url))
