"""Writing so that a crash leaves the whole thing or nothing."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO

from plexus.platform.backup.manifest import StoredFile

CHUNK = 1 << 20


def write_file(
    path: Path, name: str, chunks: Iterable[bytes], told: Callable[[int], None] | None = None
) -> StoredFile:
    """Write and flush a new file that only we may read; ``name`` is what the manifest calls it.

    ``told`` hears the bytes written so far.
    """
    digest, size = hashlib.sha256(), 0
    with open(path, "xb", opener=_private) as out:
        for chunk in chunks:
            out.write(chunk)
            digest.update(chunk)
            size += len(chunk)
            if told is not None:
                told(size)
        out.flush()
        os.fsync(out.fileno())
    return StoredFile(name, size, digest.hexdigest())


def read_chunks(stream: IO[bytes]) -> Iterator[bytes]:
    while chunk := stream.read(CHUNK):
        yield chunk


def flush_folder(path: Path) -> None:
    """Make the names in this folder outlive a crash."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def flush_folders(path: Path) -> None:
    """`flush_folder` for it and all below it."""
    for folder, _, _ in os.walk(path):
        flush_folder(Path(folder))


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
