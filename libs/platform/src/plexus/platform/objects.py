"""The object store: a folder or a bucket, by obstore.

The folder adapter writes beside and renames, so a reader never sees half an object; a bucket shows an object
when its last part has come. An upload that fails or is given up leaves nothing: its parts are taken back.
Only a process that is killed leaves parts in a bucket, for the bucket's own rule to clear away.

A store that cannot be reached, or that refuses, raises `Unavailable` after at most twice
``media.store_timeout_seconds`` without a byte; what it said goes to the log.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, from_url
from obstore.store import ObjectStore as Backend
from plexus.platform.ports import ObjectMeta
from plexus.platform.settings import MediaSettings, SettingsError
from plexus.protocol.errors import Unavailable

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig, S3Config

logger = logging.getLogger(__name__)

_SEGMENT = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}")
_CHUNK = 256 * 1024
_TAKE_BACK_SECONDS = 5.0
_CONNECT_SECONDS = 3.0


def is_key(key: str) -> bool:
    """Whether an object can have this name. What a store writes half of has others."""
    return all(_SEGMENT.fullmatch(segment) for segment in key.split("/"))


def _check(key: str) -> str:
    if not is_key(key):
        raise ValueError(f"{key!r} is no object key")
    return key


class Objects:
    """An `ObjectStore` over whatever obstore reaches."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def put(self, key: str, data: bytes | AsyncIterator[bytes]) -> int:
        _check(key)
        if isinstance(data, bytes):
            with _answering("put"):
                await obstore.put_async(self._backend, key, data)
            return len(data)
        counted = _Counted(data)
        with _answering("put"):
            upload = asyncio.ensure_future(obstore.put_async(self._backend, key, counted, use_multipart=True))
            try:
                await asyncio.shield(upload)
            except asyncio.CancelledError:
                # Left alone, an upload that nobody waits for would leave the parts that have come.
                counted.break_off()
                await asyncio.wait({upload}, timeout=_TAKE_BACK_SECONDS)
                raise
            except Exception as error:
                if counted.failure is not None:
                    raise counted.failure from None
                raise error from None
        return counted.size

    async def get(self, key: str) -> bytes | None:
        _check(key)
        with _answering("get"):
            try:
                found = await obstore.get_async(self._backend, key)
                return bytes(await found.bytes_async())
            except FileNotFoundError as error:
                _see_the_bucket(error)
                return None

    async def head(self, key: str) -> ObjectMeta | None:
        _check(key)
        with _answering("head"):
            try:
                meta = await obstore.head_async(self._backend, key)
            except FileNotFoundError as error:
                _see_the_bucket(error)
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
        with _answering("get"):
            try:
                found = await obstore.get_async(self._backend, key, options={"range": (start, stop)})
            except FileNotFoundError as error:
                _see_the_bucket(error)
                return None
        return _chunks(found)

    async def delete(self, key: str) -> None:
        _check(key)
        with _answering("delete"):
            try:
                await obstore.delete_async(self._backend, key)
            except FileNotFoundError as error:
                _see_the_bucket(error)

    async def list(self, prefix: str = "") -> AsyncIterator[ObjectMeta]:
        if prefix:
            _check(prefix)
        with _answering("list"):
            async for page in obstore.list(self._backend, prefix or None):
                for meta in page:
                    modified = int(meta["last_modified"].timestamp() * 1000)
                    yield ObjectMeta(meta["path"], meta["size"], modified)

    async def trouble(self) -> str | None:
        """What keeps the store from answering, in its own words, for the operator; None if it does."""
        try:
            async for _ in obstore.list(self._backend, chunk_size=1):
                break
        except (BaseError, OSError) as error:
            return _said(error)
        return None


class _Counted:
    """The chunks of an upload as they pass. ``failure`` is what their source has raised."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self._next: asyncio.Future[bytes] | None = None
        self._broken_off = False
        self.size = 0
        self.failure: Exception | None = None

    def __aiter__(self) -> _Counted:
        return self

    async def __anext__(self) -> bytes:
        if self._broken_off:
            raise ConnectionAbortedError("The upload was given up")
        self._next = asyncio.ensure_future(anext(self._chunks))
        try:
            chunk = await self._next
        except StopAsyncIteration:
            raise
        except asyncio.CancelledError:
            raise ConnectionAbortedError("The upload was given up") from None
        except Exception as error:
            self.failure = error
            raise
        self.size += len(chunk)
        return chunk

    def break_off(self) -> None:
        self._broken_off = True
        if self._next is not None:
            self._next.cancel()


@contextmanager
def _answering(what: str) -> Iterator[None]:
    """The store's own errors as `Unavailable`; what it said, which may name the bucket, goes to the log."""
    try:
        yield
    except (BaseError, FileNotFoundError) as error:
        # No traceback: it is not our code that failed, and a store that is down says the same many times.
        logger.error("The object store failed (%s): %s", what, _said(error))  # noqa: TRY400
        raise Unavailable("The store of media cannot answer now") from error


def _see_the_bucket(error: FileNotFoundError) -> None:
    """No such object is an answer; no such bucket is none."""
    if "NoSuchBucket" in str(error):
        raise error


def _said(error: Exception) -> str:
    # Below the message obstore prints the whole chain of errors again, for its developers.
    return str(error).partition("\nDebug source")[0].strip()[:1_000]


async def _chunks(found: obstore.GetResult) -> AsyncIterator[bytes]:
    with _answering("get"):
        async for chunk in found.stream(min_chunk_size=_CHUNK):
            yield bytes(chunk)


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""  # makes it a generator


def open_objects(settings: MediaSettings, data_dir: Path) -> Objects:
    """The store of the settings: a URL (``s3://bucket/prefix``), or the folder ``media`` below ``data_dir``.

    Nothing is sent yet. `SettingsError` for what is no address of a store.
    """
    url = settings.store_url
    if url is None:
        return Objects(LocalStore(data_dir.absolute() / "media", mkdir=True))
    if url.startswith("file://"):
        return Objects(LocalStore(Path(url.removeprefix("file://")), mkdir=True))
    patience = timedelta(seconds=settings.store_timeout_seconds)
    client: ClientConfig = {
        # Of a whole request, the body with it: large media may take their time, as long as bytes come.
        "timeout": timedelta(hours=1),
        "read_timeout": patience,
        "allow_http": True,  # who writes http:// means it
        "connect_timeout": timedelta(seconds=min(_CONNECT_SECONDS, settings.store_timeout_seconds)),
    }
    retry: RetryConfig = {"max_retries": 3, "retry_timeout": patience}
    given: dict[str, Any] = {}
    if url.startswith("s3://"):
        given["config"] = _s3(settings)
    try:
        return Objects(from_url(url, client_options=client, retry_config=retry, **given))
    except (BaseError, ValueError) as error:
        raise SettingsError([f"media.store_url: {_said(error)}"]) from None


def _s3(settings: MediaSettings) -> S3Config:
    """What the settings say; what they do not say stands in the environment as ``AWS_*``, or is found as on
    Amazon's machines.
    """
    config: S3Config = {"virtual_hosted_style_request": not settings.store_path_style}
    if settings.store_endpoint is not None:
        config["endpoint"] = settings.store_endpoint
    if settings.store_region is not None:
        config["region"] = settings.store_region
    if settings.store_access_key_id is not None:
        config["access_key_id"] = settings.store_access_key_id
    if settings.store_secret_access_key is not None:
        config["secret_access_key"] = settings.store_secret_access_key.get_secret_value()
    return config
