"""Arrays packed by hand equal those that psycopg packs."""

from __future__ import annotations

import psycopg
from hypothesis import given
from hypothesis import strategies as st
from plexus.platform.postgres.packed import register
from plexus.rooms.packing import bytea, int4, int8, oid_of, text, unpack_integers
from psycopg.adapt import AdaptersMap, PyFormat, Transformer

int32 = st.integers(-(2**31), 2**31 - 1)
int64 = st.integers(-(2**63), 2**63 - 1)
words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)


def loaded(packed: bytes) -> object:
    """What psycopg makes of a binary array of this type."""
    return Transformer().get_loader(oid_of(packed), psycopg.pq.Format.BINARY).load(packed)


@given(st.lists(st.none() | int32, max_size=10))
def test_int4(values: list[int | None]) -> None:
    assert loaded(int4(values)) == values


@given(st.lists(st.none() | int64, max_size=10))
def test_int8(values: list[int | None]) -> None:
    assert loaded(int8(values)) == values
    known = [value for value in values if value is not None]
    assert unpack_integers(int8(known)) == known


@given(st.lists(st.none() | words, max_size=10))
def test_text(values: list[str | None]) -> None:
    assert loaded(text(values)) == values


@given(st.lists(st.none() | st.binary(max_size=20), max_size=10))
def test_bytea(values: list[bytes | None]) -> None:
    assert loaded(bytea(values)) == values


class Knowing:
    """A context of psycopg that has adapters and no connection."""

    connection = None

    def __init__(self, adapters: AdaptersMap) -> None:
        self.adapters = adapters


def test_psycopg_passes_them_on_as_they_are() -> None:
    packed = int4([1, 2])
    adapters = AdaptersMap(psycopg.adapters)
    register(adapters)
    dumper = Transformer.from_context(Knowing(adapters)).get_dumper(packed, PyFormat.AUTO)
    assert dumper.dump(packed) == packed
    assert dumper.oid == oid_of(packed)
