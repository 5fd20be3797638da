"""Reading a backup, as a folder or as a .tar, and proving that it is whole."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Protocol

import msgspec
from plexus.platform.backup.disk import read_chunks
from plexus.platform.backup.errors import BrokenBackupError, NewerBackupError
from plexus.platform.backup.manifest import FORMAT, MANIFEST, MANIFEST_SUM, Manifest, StoredFile
from plexus.platform.backup.progress import Report, Step, silent


class Source(Protocol):
    def open(self, name: str) -> IO[bytes]:
        """`BrokenBackupError` if there is no such file."""
        ...


class FolderSource:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self, name: str) -> IO[bytes]:
        path = self._folder / name
        if ".." in Path(name).parts or not path.is_file():
            raise BrokenBackupError(f"{self._folder} is not a whole backup: {name} is missing")
        return path.open("rb")


class TarSource:
    def __init__(self, path: Path, tar: tarfile.TarFile) -> None:
        self._path = path
        self._tar = tar

    def open(self, name: str) -> IO[bytes]:
        try:
            stream = self._tar.extractfile(name)
        except KeyError:
            stream = None
        if stream is None:
            raise BrokenBackupError(f"{self._path} is not a whole backup: {name} is missing")
        return stream


@contextmanager
def open_source(path: Path) -> Iterator[Source]:
    """The backup at ``path``; `BrokenBackupError` if there is none."""
    if path.is_dir():
        yield FolderSource(path)
        return
    if not path.exists():
        raise BrokenBackupError(f"there is no backup {path}")
    try:
        with tarfile.open(path, "r:") as tar:
            yield TarSource(path, tar)
    except tarfile.TarError as error:  # while it is read, too: one that is cut off
        raise BrokenBackupError(f"{path} is not a whole backup: {error}") from None


def verify(path: Path, report: Report = silent) -> Manifest:
    """The manifest of a backup whose every file is there and unaltered; `BrokenBackupError` if it is not."""
    with open_source(path) as source:
        return verify_source(source, report)


def verify_source(source: Source, report: Report) -> Manifest:
    manifest = _manifest(source)
    stored = [*(table.file for table in manifest.tables), *manifest.files]
    for number, file in enumerate(stored, start=1):
        report(Step("verify", file.path, number, len(stored)))
        _check_file(source, file)
        report(Step("verify", file.path, number, len(stored), file.size, done=True))
    return manifest


def _manifest(source: Source) -> Manifest:
    with source.open(MANIFEST) as stream:
        text = stream.read()
    with source.open(MANIFEST_SUM) as stream:
        said = stream.read().split()
    if not said or said[0].decode("ascii", "replace") != hashlib.sha256(text).hexdigest():
        raise BrokenBackupError(f"{MANIFEST} is not what was written: its SHA-256 differs")
    try:
        # Its number first: another format may have other members.
        number = msgspec.json.decode(text, type=dict[str, object]).get("format")
        if isinstance(number, int) and number > FORMAT:
            raise NewerBackupError(
                f"the backup has format {number}, and this Plexus reads up to {FORMAT}: restore it with the "
                "Plexus that made it, or a newer one"
            )
        return Manifest.from_json(text)
    except msgspec.DecodeError as error:
        raise BrokenBackupError(f"{MANIFEST} cannot be read: {error}") from None


def _check_file(source: Source, file: StoredFile) -> None:
    digest, size = hashlib.sha256(), 0
    with source.open(file.path) as stream:
        for chunk in read_chunks(stream):
            digest.update(chunk)
            size += len(chunk)
    if size != file.size or digest.hexdigest() != file.sha256:
        raise BrokenBackupError(
            f"{file.path} is not what was written: {size} bytes instead of {file.size}"
            if size != file.size
            else f"{file.path} is not what was written: its SHA-256 differs"
        )
