"""plexus.protocol.transactions"""

from __future__ import annotations

import json
from random import Random
from typing import Any

import canonicaljson
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plexus.protocol.canonical_json import decode_request
from plexus.protocol.edus import Typing
from plexus.protocol.errors import BadJson, InvalidEdu, InvalidEvent, MatrixError, NotJson
from plexus.protocol.pdus import IncomingPdu, read_pdu
from plexus.protocol.transactions import Transaction, read_transaction

from tests.unit.protocol import obvious_reader
from tests.unit.protocol.obvious_reader import GOOD

TYPING = {"edu_type": "m.typing", "content": {"room_id": "!r:one", "user_id": "@a:one", "typing": True}}
RAW = canonicaljson.encode_canonical_json(GOOD)


def body(*pdus: bytes, edus: tuple[bytes, ...] = (), more: bytes = b"") -> bytes:
    return b'{"edus":[%b],"origin":"one","origin_server_ts":5,"pdus":[%b]%b}' % (
        b",".join(edus),
        b",".join(pdus),
        more,
    )


def told(transaction: Transaction) -> Any:
    """Faults are told apart by what they say."""
    return (
        transaction.origin_server_ts,
        [pdu.message if isinstance(pdu, InvalidEvent) else pdu for pdu in transaction.pdus],
        [edu.message if isinstance(edu, InvalidEdu) else edu for edu in transaction.edus],
    )


def test_a_good_one() -> None:
    raw = body(RAW, RAW, edus=(orjson.dumps(TYPING),))
    pdu = read_pdu(RAW)
    expected = (5, [pdu, pdu], [Typing("!r:one", "@a:one", True)])
    assert told(read_transaction(raw, "one")) == expected
    assert told(read_transaction(raw, "one", parsed=decode_request(raw))) == expected
    assert told(read_transaction(json.dumps(json.loads(raw), indent=2).encode(), "one")) == expected


BAD = {
    "duplicate key": (b'{"a":1,"a":2}', True),
    "float": (b"1.5", True),
    "minus zero": (b"-0", True),
    "large integer": (b"18446744073709551616", True),
    "infinite": (b"1e400", False),
    "lone surrogate": (rb'"\ud800"', False),
    "not UTF-8": (b'"\xff"', False),
    "too deep": (b"[" * 300 + b"]" * 300, False),
    "far too deep": (b"[" * 20_000 + b"]" * 20_000, False),
    "too large": (b'"' + b"x" * 65536 + b'"', False),
    "not JSON": (b"tru", False),
    "no object": (None, False),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_pdu_spoils_no_other(name: str) -> None:
    piece, old_rooms_take_it = BAD[name]
    bad = b"[]" if piece is None else RAW.replace(b'"depth":12', b'"depth":12,"x":' + piece)
    before, found, after = read_transaction(body(RAW, bad, RAW), "one").pdus
    assert before == after == read_pdu(RAW)
    if old_rooms_take_it:
        assert isinstance(found, IncomingPdu) and found.strict_fault is not None
    else:
        assert isinstance(found, InvalidEvent)


def test_a_bad_edu_spoils_no_other() -> None:
    good = orjson.dumps(TYPING)
    edus = (
        good,
        b"[]",
        b'{"edu_type":"m.typing","content":{"x":"\\ud800"}}',
        b'{"edu_type":"m.typing"}',
        good,
    )
    transaction = read_transaction(body(RAW, edus=edus), "one")
    assert transaction.pdus == (read_pdu(RAW),)
    assert [type(edu) for edu in transaction.edus] == [Typing, InvalidEdu, InvalidEdu, InvalidEdu, Typing]


def test_a_float_in_an_edu_is_no_fault_of_a_pdu() -> None:
    edu = b'{"edu_type":"org.example","content":{"x":1.50}}'
    [pdu] = read_transaction(body(RAW, edus=(edu,)), "one").pdus
    assert isinstance(pdu, IncomingPdu) and pdu.strict_fault is None


@pytest.mark.parametrize(
    ("raw", "error", "words"),
    [
        (b"", BadJson, "object"),
        (b"[]", BadJson, "object"),
        (b"{", NotJson, "not JSON"),
        (body(RAW) + b"x", NotJson, "not JSON"),
        (body(RAW[:-1]), NotJson, "not JSON"),
        (body(RAW, more=b',"pdus":[]'), BadJson, "twice"),
        (b'{"pdus": {}}', BadJson, "pdus is not a list"),
        (b'{"pdus":{}}', BadJson, "pdus is not a list"),
        (b'{"pdus":[],"edus": 1}', BadJson, "edus is not a list"),
        (b'{"pdus":[],"origin_server_ts":"1"}', BadJson, "origin_server_ts"),
        (b'{"pdus":[], "origin_server_ts":1.5}', BadJson, "origin_server_ts"),
        (b'{"pdus":[], "origin_server_ts":tru}', NotJson, "not JSON"),
        (body(*[RAW] * 51), BadJson, "at most 50 pdus"),
        (b" " + body(*[RAW] * 51), BadJson, "at most 50 pdus"),
        (body(edus=(orjson.dumps(TYPING),) * 101), BadJson, "at most 100 edus"),
    ],
)
def test_a_frame_that_is_wrong(raw: bytes, error: type[MatrixError], words: str) -> None:
    with pytest.raises(error, match=words):
        read_transaction(raw, "one")


def test_the_largest_and_the_smallest() -> None:
    transaction = read_transaction(body(*[RAW] * 50, edus=(orjson.dumps(TYPING),) * 100), "one")
    assert (len(transaction.pdus), len(transaction.edus)) == (50, 100)
    assert told(read_transaction(b"{}", "one")) == told(read_transaction(b" { } ", "one")) == (None, [], [])


@given(st.randoms(use_true_random=False))
def test_both_ways_give_the_same(random: Random) -> None:
    """A white space more, and the lists are cut instead of parsed as a whole."""
    raw = body(*(obvious_reader.altered(random, random.randrange(2)) for _ in range(3)), edus=(RAW, b"{}"))
    try:
        one = told(read_transaction(raw, "one"))
    except MatrixError as error:
        with pytest.raises(type(error)):
            read_transaction(raw + b" ", "one")
    else:
        assert told(read_transaction(raw + b" ", "one")) == one
