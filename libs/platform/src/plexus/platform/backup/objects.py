"""Copying media from one object store into another."""

from __future__ import annotations

from plexus.platform.backup.errors import BackupError
from plexus.platform.backup.progress import Report, Step, silent
from plexus.platform.objects import is_key
from plexus.platform.ports import ObjectMeta, ObjectStore


async def copy_objects(source: ObjectStore, target: ObjectStore, report: Report = silent) -> tuple[int, int]:
    """Put every object of ``source`` into ``target``, unless one of that name and size is there: an object
    never changes, and stores show only whole ones. So it may be repeated. How many were copied, and how many
    there are.
    """
    found = [meta async for meta in source.list() if is_key(meta.key)]
    copied = 0
    for number, meta in enumerate(found, start=1):
        there = await target.head(meta.key)
        if there is None or there.size != meta.size:
            await _copy(source, target, meta)
            copied += 1
        report(Step("media", meta.key, number, len(found), meta.size, done=number == len(found)))
    return copied, len(found)


async def _copy(source: ObjectStore, target: ObjectStore, meta: ObjectMeta) -> None:
    chunks = await source.stream(meta.key)
    written = None if chunks is None else await target.put(meta.key, chunks)
    if written != meta.size:
        raise BackupError(f"the media object {meta.key} has {meta.size} bytes, and {written} were copied")
