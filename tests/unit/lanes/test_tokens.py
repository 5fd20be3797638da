from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plexus.platform.lanes import FROM_THE_FIRST, InboxToken, SyncToken
from plexus.protocol.errors import InvalidParam

positions = st.integers(0, 2**63 - 1)
tokens = st.builds(
    SyncToken,
    generation=positions,
    rooms=st.lists(positions, max_size=64).map(tuple),
    users=st.lists(positions, max_size=16).map(tuple),
    to_device=positions,
    epoch=positions,
    counter=positions,
)


@given(tokens)
def test_a_token_comes_back_as_it_was(token: SyncToken) -> None:
    assert SyncToken.decode(token.encode()) == token


@given(tokens, st.data())
def test_a_changed_or_cut_token_is_refused(token: SyncToken, data: st.DataObject) -> None:
    text = token.encode()
    at = data.draw(st.integers(0, len(text) - 1))
    for wrong in (
        text[:at],
        text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :],
        text + "A",
        text + "AAAA",
    ):
        with pytest.raises(InvalidParam):
            SyncToken.decode(wrong)


@pytest.mark.parametrize(
    "text", ["", "s", "sAAAA", "t1_0", "s!!!!", "s" + "é" * 20, "s" + "A" * 100_000, "s123_456"]
)
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(InvalidParam):
        SyncToken.decode(text)


def test_a_token_of_a_busy_deployment_stays_below_400_characters() -> None:
    busy = SyncToken(
        2**62 - 1,
        tuple(1_000_000 + 3_000 * lane for lane in range(64)),
        tuple(50_000 + 700 * lane for lane in range(16)),
        to_device=123_456,
        epoch=2**40,
        counter=99_999,
    )
    assert len(busy.encode()) < 400


def test_a_token_is_fit_for_a_query_string() -> None:
    text = SyncToken(7, (1, 2), (3,)).encode()
    assert all(character.isalnum() or character in "-_" for character in text)


def test_users_of_one_cut_share_the_head_of_their_tokens() -> None:
    one = SyncToken(7, (1, 2), (3,), to_device=4).encode()
    other = SyncToken(7, (1, 2), (3,), to_device=5).encode()
    assert one != other
    assert one[:12] == other[:12]


@given(positions, positions)
def test_a_token_of_the_inbox_comes_back_as_it_was(generation: int, sequence: int) -> None:
    token = InboxToken(generation, sequence)
    assert InboxToken.decode(token.encode()) == token


def test_a_number_of_an_older_plexus_says_nothing_of_the_inbox() -> None:
    assert InboxToken.decode("57") == FROM_THE_FIRST


@pytest.mark.parametrize("text", ["", "x", "-1", "d1", "d1.", "d1.x", "1.2", "d1.9223372036854775808"])
def test_what_is_no_token_of_the_inbox_is_refused(text: str) -> None:
    with pytest.raises(InvalidParam):
        InboxToken.decode(text)
