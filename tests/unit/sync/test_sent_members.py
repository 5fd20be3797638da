"""Which member events a lazy-loading device has."""

from __future__ import annotations

from plexus.sync.replica.sent_members import SentMembers

ROOM = "!room:example.org"
ALICE, BOB = "@alice:example.org", "@bob:example.org"


def answered(sent: SentMembers, since: str | None, token: str, *users: str) -> None:
    sent.begin(since)
    sent.answered(token, [(ROOM, frozenset(users))])


def test_what_arrived_is_not_sent_again() -> None:
    sent = SentMembers()
    answered(sent, None, "s1", ALICE)
    sent.begin("s1")
    assert sent.unknown(ROOM, [ALICE, BOB]) == {BOB}


def test_an_answer_that_was_lost_does_not_count() -> None:
    sent = SentMembers()
    answered(sent, None, "s1", ALICE)
    answered(sent, "s1", "s2", BOB)
    sent.begin("s1")
    assert sent.unknown(ROOM, [ALICE, BOB]) == {BOB}


def test_nothing_is_taken_for_granted_before_it_is_confirmed() -> None:
    sent = SentMembers()
    answered(sent, None, "s1", ALICE)
    assert sent.unknown(ROOM, [ALICE]) == {ALICE}


def test_a_token_from_elsewhere_starts_anew() -> None:
    sent = SentMembers()
    answered(sent, None, "s1", ALICE)
    sent.begin("s1")
    sent.begin("s7")
    assert sent.unknown(ROOM, [ALICE]) == {ALICE}


def test_an_initial_sync_starts_anew() -> None:
    sent = SentMembers()
    answered(sent, None, "s1", ALICE)
    sent.begin("s1")
    sent.begin(None)
    assert sent.unknown(ROOM, [ALICE]) == {ALICE}


def test_its_size_is_that_of_what_it_knows_and_goes_with_it() -> None:
    sent = SentMembers()
    empty = sent.size
    sizes = []
    for number in range(3):
        sent.begin(f"s{number}" if number else None)
        sent.answered(f"s{number + 1}", [(ROOM, frozenset({ALICE, f"@{number}:x"}))])
        sizes.append(sent.size)
    assert empty < sizes[0] < sizes[1] < sizes[2]
    sent.begin("s3")
    known = sent.size
    sent.begin("s3")
    assert sent.size == known
    sent.begin(None)
    assert sent.size == empty
