"""A million values: equal to the canonicaljson package, which other servers use, and read back unchanged."""

from __future__ import annotations

import json
from itertools import islice
from time import perf_counter
from typing import Any

import canonicaljson
import pytest
from plexus.protocol.canonical_json import decode, encode

from tests.unit.protocol.canonical_values import Values

COUNT = 500_000


@pytest.mark.slow
@pytest.mark.parametrize("strict", [True, False], ids=["strict", "lenient"])
def test_equal_to_canonicaljson_and_back(strict: bool) -> None:
    theirs = canonicaljson.encode_canonical_json
    started = perf_counter()
    for value in islice(Values(seed=20, foreign=not strict), COUNT):
        encoded = encode(value, strict=strict)
        assert encoded == theirs(value), value
        back = decode(encoded, strict=strict)
        assert back == value
        assert strict or is_same(back, value), value
    print(f"{COUNT} values in {perf_counter() - started:.1f} s")


def is_same(one: Any, other: Any) -> bool:
    """Equal in type as well: to Python 1 == 1.0 == True."""
    return repr(one) == repr(other) or json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def test_the_generator_makes_what_it_promises() -> None:
    found: set[type] = set()
    characters: set[str] = set()
    for value in islice(Values(seed=20, foreign=True), 20_000):
        stack = [value]
        while stack:
            item = stack.pop()
            found.add(type(item))
            if isinstance(item, dict):
                stack += [*item.values(), *item]
            elif isinstance(item, list):
                stack += item
            elif isinstance(item, str):
                characters.update(item)
    assert found == {dict, list, str, int, float, bool, type(None)}
    assert characters >= set('\0\x1f"\\\u2028\ue000\uffff\U00010000\U0010ffff')
