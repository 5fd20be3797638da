"""The files of a server that are not in its database: signing keys, settings, media."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from plexus.platform.backup.disk import flush_folders, read_chunks, write_file
from plexus.platform.backup.errors import BrokenBackupError, FileInTheWayError
from plexus.platform.backup.manifest import Manifest, StoredFile
from plexus.platform.backup.progress import Report, Step
from plexus.platform.backup.source import Source
from plexus.platform.settings import Settings

FOLDER = "files"

SIGNING_KEY = "signing.key"
OLD_KEYS = "signing-old.keys"
MEDIA = "media"

WITHOUT = {
    SIGNING_KEY: "the signing key (signing.key): without it this server cannot prove who it is",
    MEDIA: "the media files (media/): without them uploads cannot be downloaded",
}
"""What a backup tells when it lacks them."""

# What an object store writes half of carries other characters.
_SEGMENT = re.compile(r"[A-Za-z0-9._-]+")


def data_files(settings: Settings) -> dict[str, Path]:
    """Where this server keeps its signing keys and, unless they are in a bucket, its media; by the name that
    `backup` and `restore` give them.
    """
    found = {SIGNING_KEY: settings.signing_key_file, OLD_KEYS: settings.old_keys_file}
    url = settings.media.store_url
    if url is None:
        found[MEDIA] = settings.data_dir / "media"
    elif url.startswith("file://"):
        found[MEDIA] = Path(unquote(urlsplit(url).path))
    return found


def save(files: Mapping[str, Path], into: Path, report: Report) -> list[StoredFile]:
    """Copy files and folders below ``into``, the backup's folder. Those that are missing are left out."""
    stored = []
    for number, (name, place) in enumerate(files.items(), start=1):
        for relative, path in _below(name, place):
            target = into / FOLDER / relative
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                with path.open("rb") as stream:
                    stored.append(write_file(target, f"{FOLDER}/{relative}", read_chunks(stream)))
            except FileNotFoundError:
                continue  # deleted in this moment
            report(Step("files", relative, number, len(files), stored[-1].size, done=True))
    return stored


def check(source: Source, manifest: Manifest, files: Mapping[str, Path], *, replace: bool) -> None:
    """`FileInTheWayError` if a restore would change a file (unless ``replace``)."""
    for stored in manifest.files:
        target = _target(stored, files)
        if target is None or replace or not target.exists():
            continue
        with source.open(stored.path) as ours, target.open("rb") as theirs:
            if any(a != b for a, b in _pairs(read_chunks(ours), read_chunks(theirs))):
                raise FileInTheWayError(
                    f"{target} is there already and differs from the one in the backup. Move it away, or say "
                    "that it may be replaced."
                )


def bring_back(source: Source, manifest: Manifest, files: Mapping[str, Path], report: Report) -> int:
    """Write the files of the backup where ``files`` says, each whole or not at all; their number."""
    wanted = [(stored, target) for stored in manifest.files if (target := _target(stored, files)) is not None]
    for number, (stored, target) in enumerate(wanted, start=1):
        target.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
        aside = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
        try:
            with source.open(stored.path) as stream:
                write_file(aside, stored.path, read_chunks(stream))
            aside.replace(target)
        finally:
            aside.unlink(missing_ok=True)
        report(Step("files", stored.path, number, len(wanted), stored.size, done=True))
    for folder in {target.parent for _, target in wanted}:
        flush_folders(folder)
    return len(wanted)


def _below(name: str, place: Path) -> Iterator[tuple[str, Path]]:
    if not place.is_dir():
        if place.exists():
            yield name, place
        return
    for folder, folders, names in os.walk(place):
        folders.sort()
        for file in sorted(names):
            path = Path(folder) / file
            relative = path.relative_to(place)
            if all(_SEGMENT.fullmatch(part) for part in relative.parts):
                yield f"{name}/{relative.as_posix()}", path


def _target(stored: StoredFile, files: Mapping[str, Path]) -> Path | None:
    parts = stored.path.split("/")
    if len(parts) < 2 or parts[0] != FOLDER or any(part in ("", ".", "..") for part in parts):
        raise BrokenBackupError(f"the backup names a file that cannot be in it: {stored.path!r}")
    place = files.get(parts[1])
    return None if place is None else place.joinpath(*parts[2:])


def _pairs(ours: Iterator[bytes], theirs: Iterator[bytes]) -> Iterator[tuple[bytes, bytes]]:
    while True:
        pair = next(ours, b""), next(theirs, b"")
        if pair == (b"", b""):
            return
        yield pair
