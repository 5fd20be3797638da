"""Places, tokens, transaction ids."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plexus.protocol.errors import InvalidParam
from plexus.rooms import Place, TimelineToken, Txn

places = st.builds(Place, st.integers(0, 2**53), st.integers(-(2**29), 0))


@given(places)
def test_a_token_survives_the_client(place: Place) -> None:
    assert TimelineToken.decode(TimelineToken(place).encode()).place == place


@pytest.mark.parametrize(
    "token",
    [
        "",
        "t",
        "t1",
        "t1_",
        "t_0",
        "t1_1",
        "t-1_0",
        "s1_0",
        "t1_0 ",
        "t1_0\n",
        "t1_-",
        "t٣_0",
        "t" + "9" * 30 + "_0",
    ],
)
def test_what_is_no_token(token: str) -> None:
    with pytest.raises(InvalidParam):
        TimelineToken.decode(token)


@given(places, places)
def test_the_order_of_places(a: Place, b: Place) -> None:
    assert (a < b) == ((a.ordinal, a.sub) < (b.ordinal, b.sub))


def test_history_stands_before_the_live_event_after_its_gap() -> None:
    assert Place(4, 0) < Place(5, -2) < Place(5, -1) < Place(5, 0)
    assert Place(5, 0).before == Place(5, -1)


@pytest.mark.parametrize(
    ("txn_id", "kept"),
    [
        ("a", True),
        ("a" * 255, True),
        ("é" * 127, True),
        ("", False),
        ("a" * 256, False),
        ("é" * 128, False),
        ("nul\0", False),
        ("\ud800", False),
    ],
)
def test_transaction_ids(txn_id: str, kept: bool) -> None:
    if kept:
        assert Txn("@a:b", "D", "send", txn_id).txn_id == txn_id
    else:
        with pytest.raises(InvalidParam):
            Txn("@a:b", "D", "send", txn_id)
