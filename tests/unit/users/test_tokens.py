from hypothesis import given
from hypothesis import strategies as st
from plexus.users.tokens import hash_token, lane_of_token, make_token


@given(st.integers(0, 15))
def test_a_token_names_its_lane(lane: int) -> None:
    assert lane_of_token("plx", make_token("plx", lane)) == lane
    assert lane_of_token("plr", make_token("plr", lane)) == lane


def test_one_kind_does_not_stand_for_the_other() -> None:
    assert lane_of_token("plr", make_token("plx", 3)) is None
    assert lane_of_token("plx", make_token("plr", 3)) is None


@given(st.integers(0, 60), st.sampled_from("0123456789abcdefx_"))
def test_a_changed_character_is_found_by_the_checksum(place: int, character: str) -> None:
    token = make_token("plx", 7)
    place %= len(token)
    changed = token[:place] + character + token[place + 1 :]
    assert (lane_of_token("plx", changed) is None) == (changed != token)


@given(st.text())
def test_anything_else_is_no_token(text: str) -> None:
    assert lane_of_token("plx", text) is None


def test_tokens_and_their_hashes_differ() -> None:
    tokens = {make_token("plx", 0) for _ in range(100)}
    assert len(tokens) == 100
    assert len({hash_token(token) for token in tokens}) == 100
