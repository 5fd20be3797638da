"""What leases and activities make of a user, by a clock that the test holds."""

from __future__ import annotations

from plexus.users.presence import OFFLINE, ONLINE, UNAVAILABLE, PresenceBook, Shown

ALICE, BOB = "@alice:example.org", "@bob:example.org"
IDLE = 300.0


class Told:
    """A book, and what it has told."""

    def __init__(self, most: int = 100) -> None:
        self.changes: list[tuple[str, int]] = []
        self.ended: list[tuple[str, str, str]] = []
        self.book = PresenceBook(IDLE, self._change, self._end, most)

    def _change(self, user_id: str) -> None:
        self.changes.append((user_id, self.book.shown(user_id).state))

    def _end(self, user_id: str, device: str, process: str) -> None:
        self.ended.append((user_id, device, process))

    def news(self) -> list[tuple[str, int]]:
        found, self.changes = self.changes, []
        return found


def test_online_then_idle_then_gone() -> None:
    told = Told()
    book = told.book
    book.lease(ALICE, "A", "p", ONLINE, until=60, now=0)
    assert told.news() == [(ALICE, ONLINE)]
    for now in range(30, 600, 30):
        # A sync goes on: nothing to tell, and no activity.
        book.lease(ALICE, "A", "p", ONLINE, until=now + 60, now=now)
        book.turn(now)
        assert told.news() == ([(ALICE, UNAVAILABLE)] if now == IDLE else [])
    book.active(ALICE, 600, 600)
    assert told.news() == [(ALICE, ONLINE)]
    book.turn(629)
    assert told.news() == []
    book.turn(630)
    assert told.news() == [(ALICE, OFFLINE)]
    assert told.ended == [(ALICE, "A", "p")]
    assert book.last_active(ALICE) == 600
    assert book.next_due > 1_000_000


def test_the_most_present_device_counts() -> None:
    told = Told()
    book = told.book
    book.lease(ALICE, "A", "p", UNAVAILABLE, until=60, now=0)
    book.lease(ALICE, "B", "p", ONLINE, until=30, now=0)
    assert told.news() == [(ALICE, UNAVAILABLE), (ALICE, ONLINE)]
    book.turn(30)
    assert told.news() == [(ALICE, UNAVAILABLE)]
    book.lease(ALICE, "A", "p", OFFLINE, until=90, now=31)
    assert told.news() == [(ALICE, OFFLINE)]


def test_a_device_is_there_as_long_as_one_process_says_so() -> None:
    told = Told()
    book = told.book
    book.lease(ALICE, "A", "p", ONLINE, until=60, now=0)
    book.lease(ALICE, "A", "q", ONLINE, until=100, now=10)
    told.news()
    book.end(ALICE, "A", "p", now=20)
    book.turn(99)
    assert told.news() == []
    # The last that is said of the device holds, whoever said it.
    book.lease(ALICE, "A", "q", UNAVAILABLE, until=200, now=99)
    assert told.news() == [(ALICE, UNAVAILABLE)]
    book.end(ALICE, "A", "q", now=100)
    assert told.news() == [(ALICE, OFFLINE)]


def test_an_activity_alone_makes_nobody_present() -> None:
    told = Told()
    told.book.active(ALICE, 5, 5)
    assert told.news() == [] and told.book.last_active(ALICE) == 5
    # One that is told late does not take the later one away.
    told.book.active(ALICE, 3, 6)
    assert told.book.last_active(ALICE) == 5
    assert list(told.book.present()) == []


def test_who_does_something_is_idle_on_no_device() -> None:
    """And a device that only goes on saying so does not change that, until its user is idle again."""
    told = Told()
    book = told.book
    book.lease(ALICE, "A", "p", UNAVAILABLE, until=1_000, now=0)
    book.lease(ALICE, "B", "q", UNAVAILABLE, until=1_000, now=0)
    assert told.news() == [(ALICE, UNAVAILABLE)]
    assert not book.is_active(ALICE, -30)
    book.act(ALICE, 10, 10)
    assert told.news() == [(ALICE, ONLINE)]
    assert book.is_active(ALICE, 9) and not book.is_active(ALICE, 10)
    assert book.meant(ALICE, "A", UNAVAILABLE) == (ONLINE, True)
    book.lease(ALICE, "A", "p", ONLINE, until=1_000, now=20)
    assert book.meant(ALICE, "A", UNAVAILABLE) == (ONLINE, True)
    book.turn(10 + IDLE)
    assert told.news() == [(ALICE, UNAVAILABLE)]
    # Then it is active itself, and after that idle: this is news of it.
    book.act(ALICE, 400, 400)
    assert book.meant(ALICE, "A", ONLINE) == (ONLINE, True)
    assert book.meant(ALICE, "A", UNAVAILABLE) == (UNAVAILABLE, False)
    # So is what is set.
    book.lease(ALICE, "B", "q", UNAVAILABLE, until=1_000, now=401)
    assert book.meant(ALICE, "B", UNAVAILABLE) == (UNAVAILABLE, True)


def test_a_status_message_is_told_and_kept() -> None:
    told = Told()
    told.book.set_status(ALICE, "at sea", 5, 0)
    told.book.set_status(ALICE, "at sea", 6, 1)
    assert told.news() == [(ALICE, OFFLINE)]
    # One that is heard late does not take the later one away.
    told.book.set_status(ALICE, "ashore", 4, 1)
    assert told.news() == [] and told.book.status(ALICE) == ("at sea", 6)
    told.book.lease(ALICE, "A", "p", ONLINE, until=60, now=1)
    assert told.book.shown(ALICE) == Shown(ONLINE, "at sea")


def test_who_was_there_before_is_taken_to_be_there_until_they_had_time_to_come() -> None:
    told = Told()
    book = told.book
    for user in (ALICE, BOB):
        book.presume(user, "p", until=90, active=-60, now=0)
    assert set(book.present()) == {ALICE, BOB}
    book.lease(ALICE, "A", "p", ONLINE, until=200, now=5)
    assert told.news() == []
    book.turn(90)
    assert told.news() == [(BOB, OFFLINE)]
    # What somebody says themselves takes the place of what was thought.
    book.presume("@carol:example.org", "p", until=300, active=0, now=100)
    book.lease("@carol:example.org", "C", "p", UNAVAILABLE, until=300, now=101)
    assert told.news() == [("@carol:example.org", UNAVAILABLE)]
    assert told.ended == [(BOB, "\0", "p")]


def test_users_who_are_offline_are_forgotten_when_there_are_too_many() -> None:
    told = Told(most=10)
    told.book.lease(ALICE, "A", "p", ONLINE, until=60, now=0)
    for number in range(30):
        told.book.active(f"@user{number}:example.org", number, number)
    assert len(told.book) == 10
    assert told.book.shown(ALICE).state == ONLINE
    assert told.book.last_active("@user29:example.org") == 29
