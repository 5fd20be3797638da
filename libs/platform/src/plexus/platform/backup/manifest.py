"""What a backup says about itself."""

from __future__ import annotations

import msgspec

FORMAT = 1
MANIFEST = "manifest.json"
MANIFEST_SUM = "manifest.json.sha256"


class StoredFile(msgspec.Struct, frozen=True):
    """A file of the backup: its path in it, its size in bytes and the SHA-256 of its bytes."""

    path: str
    size: int
    sha256: str


class Table(msgspec.Struct, frozen=True):
    """The rows of one table (of all its partitions), gzipped, in the text format of COPY, in UTF-8."""

    schema: str
    name: str
    columns: list[str]
    rows: int
    file: StoredFile

    @property
    def full_name(self) -> str:
        return f"{self.schema}.{self.name}"


class SequenceValue(msgspec.Struct, frozen=True):
    """As ``setval`` takes it."""

    schema: str
    name: str
    value: int
    called: bool


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """``plexus``: the version that made it. ``created``: RFC 3339, in UTC. ``postgres``: its version number
    (180004). ``migrations``: those applied, in order. ``generation``, ``room_heads``, ``user_heads``: where
    the lanes stood. ``segments``: partitions of the facts. ``tables`` are in the order in which they can be
    loaded. ``files``: media, keys and settings. ``without``: what a whole server needs and is not inside.
    """

    format: int
    plexus: str
    created: str
    server_name: str
    postgres: int
    migrations: list[str]
    generation: int
    room_heads: list[int]
    user_heads: list[int]
    segments: list[int]
    tables: list[Table]
    sequences: list[SequenceValue]
    files: list[StoredFile]
    without: list[str]

    @property
    def rows(self) -> int:
        return sum(table.rows for table in self.tables)

    def to_json(self) -> bytes:
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"

    @staticmethod
    def from_json(text: bytes) -> Manifest:
        """`msgspec.DecodeError` if ``text`` is not a manifest."""
        return msgspec.json.decode(text, type=Manifest)
