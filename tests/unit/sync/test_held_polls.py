"""Which polls of a user stay when one more comes."""

from __future__ import annotations

import asyncio

from plexus.platform.settings import SyncSettings
from plexus.sync.replica.held_polls import SUPERSEDING_SECONDS, make_room
from plexus.sync.replica.polls import Poll
from plexus.sync.replica.views import UserView

SETTINGS = SyncSettings(polls_per_device=2, polls_per_user=4)


class Desk:
    """A user whose polls come at given times."""

    def __init__(self) -> None:
        self.view = UserView("@alice:example.org", 0)
        self.count = 0

    def come(self, now: float, device: str | None = "D", kind: str = "f", arrival: int | None = None) -> Poll:
        self.count += 1
        poll = Poll(device, asyncio.get_running_loop().create_future(), kind, arrival or self.count)
        make_room(self.view, poll, SETTINGS, now)
        if not poll.superseded:
            self.view.polls.append(poll)
        return poll


async def test_a_newer_sync_of_a_device_ends_its_older_one_with_the_same_filter() -> None:
    desk = Desk()
    old, other_filter, other_device = desk.come(0), desk.come(0, kind="g"), desk.come(0, "E")
    new = desk.come(5)
    assert old.superseded and old.future.done()
    assert not (other_filter.superseded or other_device.superseded or new.superseded)


async def test_an_older_request_that_comes_to_be_held_later_does_not_end_the_newer() -> None:
    desk = Desk()
    newer = desk.come(0, arrival=9)
    late = desk.come(0.1, arrival=8)
    assert late.superseded and not newer.superseded


async def test_two_clients_with_one_token_do_not_end_each_other_without_end() -> None:
    desk = Desk()
    desk.come(0)
    ended = 0
    for step in range(1, 100):
        before = [poll for poll in desk.view.polls if not poll.superseded]
        desk.come(step * SUPERSEDING_SECONDS / 50)
        ended += sum(poll.superseded for poll in before)
        desk.view.polls = [poll for poll in desk.view.polls if not poll.superseded]
        assert len(desk.view.polls) <= 2
        if len(desk.view.polls) == 2:
            # One of them has its answer from elsewhere and comes again.
            desk.view.polls.pop(0)
    assert ended <= 3


async def test_a_device_and_a_user_hold_a_few_and_their_oldest_ends() -> None:
    desk = Desk()
    first, second, third = desk.come(0, kind="a"), desk.come(0, kind="b"), desk.come(0, kind="c")
    assert first.superseded and not second.superseded
    rest = [desk.come(0, "E"), desk.come(0, "F")]
    assert not second.superseded
    last = desk.come(0, None)
    assert second.superseded and not (third.superseded or last.superseded)
    assert not any(poll.superseded for poll in rest)
