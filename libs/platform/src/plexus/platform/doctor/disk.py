"""The data folder: may be written, has room."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from plexus.platform.doctor.findings import Finding, failure, ok, warning
from plexus.platform.settings import Settings

GIB = 1 << 30
SHORT = 2 * GIB
"""Free bytes below which a server should be looked after: a day of a busy one."""

OUT = GIB // 4
"""Free bytes below which PostgreSQL is about to stop."""

FEW_FILES = 10_000


def writable(settings: Settings) -> list[Finding]:
    folder = settings.data_dir
    if not needed(settings):
        return []
    place = _existing(folder)
    try:
        with tempfile.NamedTemporaryFile(dir=place, prefix=".doctor-") as file:
            file.write(b"plexus")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return [
            failure(
                "disk",
                f"nothing can be written into {place}: {error.strerror}",
                "let the user that Plexus runs as own the folder, or choose another one (data_dir)",
            )
        ]
    if place != folder.absolute():
        return [ok("disk", f"{folder} will be made by the first start")]
    return [ok("disk", f"{folder} can be written to")]


def space(settings: Settings, *, short: int = SHORT, out: int = OUT) -> list[Finding]:
    """``short``, ``out``: free bytes below which to warn, and to fail."""
    if not needed(settings):
        return []
    place = _existing(settings.data_dir)
    free = shutil.disk_usage(place).free
    says = f"{free / GIB:.1f} GiB are free below {settings.data_dir}"
    do = "make room, or move the folder: PostgreSQL stops when the disk is full"
    if free < out:
        return [failure("disk", f"only {says}", do)]
    if free < short:
        return [warning("disk", f"only {says}", do)]
    return [ok("disk", says)]


def files(settings: Settings, *, few: int = FEW_FILES) -> list[Finding]:
    """A disk can be full of files while bytes are free."""
    if not needed(settings):
        return []
    nodes = os.statvfs(_existing(settings.data_dir))
    # Some file systems make them as needed, and say 0.
    if nodes.f_files == 0 or nodes.f_favail >= few:
        return []
    return [
        failure(
            "disk",
            f"only {nodes.f_favail} more files can be made below {settings.data_dir}",
            "remove files that are not needed on that disk, or move the folder",
        )
    ]


def needed(settings: Settings) -> bool:
    """Whether this server keeps anything in the data folder."""
    return settings.embedded or settings.media.store_url is None or settings.signing.key_file is None


def _existing(path: Path) -> Path:
    """The folder, or the nearest above it that is there."""
    path = path.absolute()
    while not path.exists() and path != path.parent:
        path = path.parent
    return path
