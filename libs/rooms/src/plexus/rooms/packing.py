"""PostgreSQL arrays packed by hand, for the one write call.

psycopg finds out the type of a list by looking at every element, which for fifty arrays costs more than the
write itself. Here the type is known: each function returns bytes in PostgreSQL's binary array format, marked
with the type of the array.

PostgreSQL, ``array_recv``: dimensions, whether there are NULLs, element type; length and lower bound; then
for each element its length (-1 for NULL) and bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct, pack, unpack_from

from plexus.platform.postgres.packed import ByteaArray, Int4Array, Int8Array, TextArray, oid_of

__all__ = [
    "BYTEA",
    "INT2",
    "INT4",
    "INT8",
    "INT8_ARRAY",
    "TEXT",
    "bytea",
    "int4",
    "int8",
    "oid_of",
    "text",
    "unpack_integers",
]

_HEADER = Struct(">iiIii")
_LENGTH = Struct(">i")
_NULL = b"\xff\xff\xff\xff"

INT2, INT4, INT8, TEXT, BYTEA = 21, 23, 20, 25, 17


def _empty(element: int) -> bytes:
    return pack(">iiI", 0, 0, element)


NO_INT4 = Int4Array(_empty(INT4))
NO_INT8 = Int8Array(_empty(INT8))
NO_TEXT = TextArray(_empty(TEXT))
NO_BYTEA = ByteaArray(_empty(BYTEA))
INT8_ARRAY = oid_of(NO_INT8)

_ONE_INT4 = Struct(">iiIiiii")
_ONE_INT8 = Struct(">iiIiiiq")


def int4(values: Sequence[int | None]) -> Int4Array:
    if len(values) == 1 and values[0] is not None:
        return Int4Array(_ONE_INT4.pack(1, 0, INT4, 1, 1, 4, values[0]))
    if not values:
        return NO_INT4
    parts = [_HEADER.pack(1, 1, INT4, len(values), 1)]
    parts += [_NULL if value is None else pack(">ii", 4, value) for value in values]
    return Int4Array(b"".join(parts))


def int8(values: Sequence[int | None]) -> Int8Array:
    if len(values) == 1 and values[0] is not None:
        return Int8Array(_ONE_INT8.pack(1, 0, INT8, 1, 1, 8, values[0]))
    if not values:
        return NO_INT8
    parts = [_HEADER.pack(1, 1, INT8, len(values), 1)]
    parts += [_NULL if value is None else pack(">iq", 8, value) for value in values]
    return Int8Array(b"".join(parts))


def text(values: Sequence[str | None]) -> TextArray:
    return (
        TextArray(_variable(TEXT, [None if v is None else v.encode() for v in values])) if values else NO_TEXT
    )


def bytea(values: Sequence[bytes | None]) -> ByteaArray:
    return ByteaArray(_variable(BYTEA, values)) if values else NO_BYTEA


def _variable(element: int, values: Sequence[bytes | None]) -> bytes:
    parts = [_HEADER.pack(1, 1, element, len(values), 1)]
    length = _LENGTH.pack
    for value in values:
        if value is None:
            parts.append(_NULL)
        else:
            parts.append(length(len(value)))
            parts.append(value)
    return b"".join(parts)


def unpack_integers(data: bytes) -> list[int]:
    """The elements of an array of integers of any width, without NULLs."""
    dimensions, _, _ = unpack_from(">iiI", data)
    if dimensions == 0:
        return []
    count, _ = unpack_from(">ii", data, 12)
    width = (len(data) - 20) // count - 4
    return [
        int.from_bytes(data[at + 4 : at + 4 + width], "big", signed=True)
        for at in range(20, len(data), width + 4)
    ]
