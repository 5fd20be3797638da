"""plexus.protocol.canonical_json"""

from __future__ import annotations

import json
from contextlib import nullcontext, suppress
from typing import Any

import canonicaljson
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plexus.protocol.canonical_json import canonicalise, contains_nul, decode, decode_request, encode
from plexus.protocol.errors import BadJson, NotJson

EXAMPLES = [
    ("{}", "{}"),
    ('{"one": 1, "two": "Two"}', '{"one":1,"two":"Two"}'),
    ('{"b":"2","a":"1"}', '{"a":"1","b":"2"}'),
    (
        '{"auth":{"success":true,"mxid":"@john.doe:example.com","profile":{"display_name":"John Doe",'
        '"three_pids":[{"medium":"email","address":"john.doe@example.org"},'
        '{"medium":"msisdn","address":"123456789"}]}}}',
        '{"auth":{"mxid":"@john.doe:example.com","profile":{"display_name":"John Doe","three_pids":'
        '[{"address":"john.doe@example.org","medium":"email"},{"address":"123456789","medium":"msisdn"}]},'
        '"success":true}}',
    ),
    ('{"a":"日本語"}', '{"a":"日本語"}'),
    ('{"本":2,"日":1}', '{"日":1,"本":2}'),
    (r'{"a":"\u65E5"}', '{"a":"日"}'),
    ('{"a":null}', '{"a":null}'),
]


@pytest.mark.parametrize(("given_json", "canonical"), EXAMPLES)
def test_examples_of_the_appendix(given_json: str, canonical: str) -> None:
    assert encode(decode(given_json.encode())) == canonical.encode()
    assert canonicalise(given_json.encode()) == canonical.encode()
    assert encode(decode(given_json.encode(), strict=False), strict=False) == canonical.encode()


def test_the_example_of_the_appendix_in_which_numbers_count_by_their_value() -> None:
    assert canonicalise(b'{"a": -0, "b": 1e10}') == b'{"a":0,"b":10000000000}'
    assert canonicalise(b"[1.0, -0.0, 9007199254740991.0]") == b"[1,0,9007199254740991]"


@pytest.mark.parametrize(
    "raw",
    [b"1.5", b"1e-1", b"9007199254740992", b"1e16", b"1e400", b'{"a":1,"a":1}', b"[" * 201 + b"]" * 201],
)
def test_what_has_no_canonical_form(raw: bytes) -> None:
    with pytest.raises(BadJson):
        canonicalise(raw)


# By UTF-16 code unit, as JavaScript and Java sort, U+10000 would come first.
def test_keys_are_sorted_by_code_point() -> None:
    keys = ["\U00010000", "\uffff", "\ue000", "b", "a", "B", "\x7f", "é", ""]
    assert list(decode(encode(dict.fromkeys(keys)))) == sorted(keys)
    assert encode({"\U00010000": 1, "\uffff": 2}) == '{"\uffff":2,"\U00010000":1}'.encode()


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=20,
)


@given(json_values)
def test_equal_to_canonicaljson_and_back(value: Any) -> None:
    encoded = encode(value)
    assert encoded == canonicaljson.encode_canonical_json(value)
    assert decode(encoded) == value


foreign_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=20,
)


@given(foreign_values)
def test_lenient_is_equal_to_canonicaljson_and_back(value: Any) -> None:
    encoded = encode(value, strict=False)
    assert encoded == canonicaljson.encode_canonical_json(value)
    assert decode(encoded, strict=False) == value == json.loads(encoded)
    assert decode(json.dumps(value, indent=1).encode(), strict=False) == value


@pytest.mark.parametrize(
    ("raw", "canonical"),
    [
        (b'{"b":1.50,"a":1e5}', b'{"a":100000.0,"b":1.5}'),
        (b"[-0, -0.0, 1E3, 1e-7]", b"[0,-0.0,1000.0,1e-07]"),
        (b'{"a":1, "a":2}', b'{"a":2}'),
        (b"9007199254740993", b"9007199254740993"),
        (b"18446744073709551617", b"18446744073709551617"),
        (b"-123456789012345678901234567890", b"-123456789012345678901234567890"),
        (b"[" + b"1" * 400 + b"]", b"[" + b"1" * 400 + b"]"),
    ],
)
def test_old_rooms_are_read_as_python_reads(raw: bytes, canonical: bytes) -> None:
    value = decode(raw, strict=False)
    assert value == json.loads(raw)
    assert encode(value, strict=False) == canonical == canonicaljson.encode_canonical_json(json.loads(raw))


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b"1e400", BadJson),
        (b"[1e400, NaN]", NotJson),
        (b"[%s]" % (b"9" * 5000), BadJson),
        (rb'[1e400, "\ud800"]', BadJson),
        (b"[%s, %b]" % (b"9" * 400, rb'"\ud800"'), BadJson),
        (b"[" * 201 + b"1.5" + b"]" * 201, BadJson),
        (b"[1e400," * 990 + b"1" + b"]" * 990, BadJson),
        (b"[1e400", NotJson),
        (b'[1e400, "\xff"]', NotJson),
        (b"[NaN]", NotJson),
        (rb'"\ud800"', BadJson),
        ('["a", 1.5]'.encode("utf-16"), NotJson),
    ],
)
def test_lenient_refuses_what_nobody_prints(raw: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        decode(raw, strict=False)


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        {1: 2.5},
        {"a": {None: 1.5}},
        [2.5, "\ud800"],
        "\udfff",
        b"",
        {1},
        [10**5000],
    ],
)
def test_lenient_encode_refuses(value: Any) -> None:
    with pytest.raises(BadJson):
        encode(value, strict=False)


@given(json_values)
def test_any_printing_of_a_value_is_read_the_same(value: Any) -> None:
    assert decode(json.dumps(value, indent=1).encode()) == value


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a":1,"a":2}',
        b'{"a":1,"a":1}',
        b'[{"b":{"a":1, "a":2}}]',
        rb'{"a":1,"\u0061":2}',
        b'{"a":1.0}',
        b'{"a":1e3}',
        b'{"a":1E3}',
        b"[-0]",
        b"[-0.0]",
        b"1.5",
        b'{"a":9007199254740992}',
        b'{"a":-9007199254740992}',
        b'{"a":123456789012345678901234567890}',
    ],
)
def test_decode_refuses_what_parsing_hides(raw: bytes) -> None:
    with pytest.raises(BadJson):
        decode(raw)


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"NaN", b"[Infinity]", b'"\xff"', rb'"\ud800"', b"{'a':1}", b"[1,]", b"01"]
)
def test_decode_refuses_what_is_not_json(raw: bytes) -> None:
    with pytest.raises(NotJson):
        decode(raw)
    with pytest.raises(NotJson):
        decode_request(raw)


@pytest.mark.parametrize("number", [b"1e400", b"-1e400", b"1" * 400, b"-" + b"9" * 5000])
def test_a_number_past_all_doubles_is_json_but_bad(number: bytes) -> None:
    for door in (decode, decode_request):
        with pytest.raises(BadJson, match="out of range"):
            door(b'{"a": %s}' % number)


@pytest.mark.parametrize("levels", [150, 210, 900, 1000, 1020])
def test_depth_in_a_value_that_the_same_key_replaces(levels: int) -> None:
    raw = b'{"a":' + b"[" * levels + b"]" * levels + b',"a":1}'
    for door in (decode, canonicalise):
        with pytest.raises(BadJson):
            door(raw)
    # Where Python's own limit is, depends on who calls.
    with suppress(BadJson) if levels >= 900 else nullcontext():
        assert decode(raw, strict=False) == {"a": 1}


def test_a_lone_surrogate_that_the_same_key_replaces() -> None:
    raw = rb'{"a":"\ud800","a":1}'
    assert decode(raw, strict=False) == {"a": 1} == json.loads(raw)
    with pytest.raises(NotJson):
        decode(raw)


def test_limits_are_inclusive() -> None:
    assert decode(b"[9007199254740991,-9007199254740991]") == [2**53 - 1, -(2**53) + 1]


@pytest.mark.parametrize(
    "value",
    [
        1.0,
        float("nan"),
        [{"a": 2.5}],
        2**53,
        -(2**53),
        {1: 2},
        {"a": {None: 1}},
        "\ud800",
        {"\udfff": 1},
        b"",
        {1},
    ],
)
def test_encode_refuses(value: Any) -> None:
    with pytest.raises(BadJson):
        encode(value)


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_depth_is_bounded_to_the_level(opening: bytes, closing: bytes) -> None:
    def nested(levels: int) -> bytes:
        return opening * levels + b"1" + closing * levels

    decode(nested(5), max_depth=5)
    with pytest.raises(BadJson):
        decode(nested(6), max_depth=5)
    decode_request(b'{"k":' + nested(4) + b"}", max_depth=5)
    with pytest.raises(BadJson):
        decode_request(b'{"k":' + nested(5) + b"}", max_depth=5)
    for hostile in (1_000, 1_000_000):
        with pytest.raises(BadJson):
            decode(nested(hostile))
        with pytest.raises(BadJson):
            decode_request(b'{"k":' + nested(hostile) + b"}")


def test_everything_accepted_can_be_printed_again() -> None:
    deepest = decode(b"[" * 200 + b"]" * 200)
    assert encode(deepest) == b"[" * 200 + b"]" * 200
    assert orjson.dumps({"events": [{"content": deepest}]})


def test_a_request_is_an_object_and_may_hold_floats() -> None:
    assert decode_request(b'{"a": 1.5}') == {"a": 1.5}
    for raw in (b"[]", b'"a"', b"null", b"1"):
        with pytest.raises(BadJson):
            decode_request(raw)


def test_nul_is_found_in_keys_and_values() -> None:
    assert contains_nul({"a": ["\0"]})
    assert contains_nul([{"a": {"b\0": 1}}])
    assert not contains_nul({"a": ["\\u0000", 0, None]})
