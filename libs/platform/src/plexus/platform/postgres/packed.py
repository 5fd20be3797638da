"""Arrays that are packed already, marked with their type; psycopg passes them on."""

from __future__ import annotations

from psycopg.adapt import AdaptersMap, Buffer, Dumper
from psycopg.pq import Format


class Int4Array(bytes):
    """``integer[]``"""


class Int8Array(bytes):
    """``bigint[]``"""


class TextArray(bytes):
    """``text[]``"""


class ByteaArray(bytes):
    """``bytea[]``"""


_OIDS: dict[type[bytes], int] = {Int4Array: 1007, Int8Array: 1016, TextArray: 1009, ByteaArray: 1001}


def oid_of(packed: bytes) -> int:
    """The type of a packed array, as PostgreSQL numbers it."""
    return _OIDS[type(packed)]


def _dumper(array_oid: int) -> type[Dumper]:
    class PackedDumper(Dumper):
        """Passes on what is packed already."""

        format = Format.BINARY
        oid = array_oid

        def dump(self, obj: bytes) -> Buffer | None:
            return obj

    return PackedDumper


_DUMPERS = [(kind, _dumper(array_oid)) for kind, array_oid in _OIDS.items()]


def register(adapters: AdaptersMap) -> None:
    """Tell a connection of the marks. (It takes over what psycopg knows when it is made, and nothing later;
    so this must not depend on what has been imported by then.)
    """
    for kind, dumper in _DUMPERS:
        adapters.register_dumper(kind, dumper)
