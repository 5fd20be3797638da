"""Initial syncs in their turn: how many at a time, who waits, who is sent away, and who nobody waits for."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from plexus.platform.http import ClientGone
from plexus.platform.peer import Peer
from plexus.platform.settings import SyncSettings
from plexus.platform.telemetry import REQUEST, RequestContext
from plexus.platform.telemetry.metrics import CounterCell
from plexus.protocol.errors import LimitExceeded, Unavailable
from plexus.sync.admission import Admission


def admission(**settings: Any) -> tuple[Admission, CounterCell]:
    refused = CounterCell()
    return Admission(SyncSettings(initial_concurrency=1, **settings), refused), refused


class Sync:
    """An initial sync that lasts until it is told to finish."""

    def __init__(
        self,
        into: Admission,
        user_id: str,
        device_id: str | None = "D",
        kind: str = "",
        peer: Peer | None = None,
    ) -> None:
        self.begun = False
        self._finish = asyncio.Event()
        self.task = asyncio.create_task(self._run(into, user_id, device_id, kind, peer))

    async def _run(
        self, into: Admission, user_id: str, device_id: str | None, kind: str, peer: Peer | None
    ) -> None:
        request = RequestContext("r")
        request.peer = peer
        REQUEST.set(request)
        async with into.place(user_id, device_id, kind) as place:
            self.begun = True
            await self._finish.wait()
            place.check()

    async def finish(self) -> None:
        self._finish.set()
        await self.task


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_they_are_made_in_the_order_in_which_they_came() -> None:
    into, _ = admission()
    syncs = [Sync(into, f"@u{n}:x") for n in range(3)]
    for number, sync in enumerate(syncs):
        await settle()
        assert [one.begun for one in syncs] == [n <= number for n in range(3)]
        assert (into.running, into.waiting) == (1, 2 - number)
        await sync.finish()
    assert (into.running, into.waiting) == (0, 0)


async def test_who_finds_the_queue_full_or_waits_too_long_comes_back_later() -> None:
    into, refused = admission(initial_waiting=1, initial_wait_seconds=0.05)
    first = Sync(into, "@a:x")
    await settle()
    waits, too_many = Sync(into, "@b:x"), Sync(into, "@c:x")
    await settle()
    with pytest.raises(Unavailable) as full:
        await too_many.task
    assert full.value.retry_after_ms > 1_000
    with pytest.raises(Unavailable):
        await waits.task
    assert refused.value == 2
    await first.finish()
    assert (into.running, into.waiting) == (0, 0)


async def test_one_user_does_not_take_all_the_places() -> None:
    into, refused = admission(initial_per_user=2)
    syncs = [Sync(into, "@a:x", device) for device in ("D1", "D2", "D3")]
    other = Sync(into, "@b:x")
    await settle()
    with pytest.raises(LimitExceeded):
        await syncs[2].task
    assert refused.value == 1
    for sync in (*syncs[:2], other):
        await sync.finish()


@pytest.mark.parametrize(("device_id", "kind"), [("D", "other filter"), ("E", "f"), (None, "f")])
async def test_a_newer_one_ends_the_older_of_its_device_only(device_id: str | None, kind: str) -> None:
    into, _ = admission()
    running, waiting = Sync(into, "@a:x", kind="f"), Sync(into, "@b:x", kind="f")
    beside, beside_waiting = Sync(into, "@c:x", device_id, kind), Sync(into, "@c:x", "D", "f")
    await settle()
    again, waits_again = Sync(into, "@a:x", kind="f"), Sync(into, "@b:x", kind="f")
    await settle()
    # What waited has an answer at once; what is being made is ended between two batches.
    with pytest.raises(Unavailable):
        await waiting.task
    with pytest.raises(Unavailable):
        await running.finish()
    for sync in (beside, beside_waiting, again, waits_again):
        await sync.finish()
    assert (into.running, into.waiting) == (0, 0)


async def test_a_turn_is_not_lost_with_a_client_that_leaves() -> None:
    into, _ = admission()
    first, leaves, last = Sync(into, "@a:x"), Sync(into, "@b:x"), Sync(into, "@c:x")
    await settle()
    leaves.task.cancel()
    await first.finish()
    await settle()
    assert last.begun
    await last.finish()
    # Also when it leaves in the moment in which its turn has come.
    first, leaves, last = Sync(into, "@a:x"), Sync(into, "@b:x"), Sync(into, "@c:x")
    await settle()
    first._finish.set()
    while into.waiting == 2:
        await asyncio.sleep(0)
    leaves.task.cancel()
    await settle()
    await last.finish()
    assert (into.running, into.waiting) == (0, 0)


async def test_none_is_begun_while_the_replica_is_behind_the_lanes() -> None:
    behind = False

    def check_lag() -> None:
        if behind:
            raise Unavailable("This replica is behind")

    refused = CounterCell()
    into = Admission(SyncSettings(initial_concurrency=1), refused, check_lag)
    first, waits = Sync(into, "@a:x"), Sync(into, "@b:x")
    await settle()
    behind = True
    late = Sync(into, "@c:x")
    await settle()
    with pytest.raises(Unavailable):
        await late.task
    # What is being made goes on; who waited for a turn is sent away when it comes.
    await first.finish()
    with pytest.raises(Unavailable):
        await waits.task
    assert refused.value == 2
    assert (into.running, into.waiting) == (0, 0)
    behind = False
    again = Sync(into, "@b:x")
    await settle()
    assert again.begun
    await again.finish()


async def test_who_has_gone_waits_no_more() -> None:
    into, refused = admission(initial_waiting=1)
    first = Sync(into, "@a:x")
    await settle()
    peer = Peer()
    gone = Sync(into, "@b:x", peer=peer)
    await settle()
    assert into.waiting == 1
    peer.leave()
    assert into.waiting == 0
    with pytest.raises(ClientGone):
        await gone.task
    with pytest.raises(ClientGone):
        await Sync(into, "@b:x", peer=peer).task
    assert (into.running, into.waiting, refused.value) == (1, 0, 0)
    await first.finish()
    assert (into.running, into.waiting) == (0, 0)


async def test_who_goes_when_it_is_their_turn_passes_it_on() -> None:
    into, _ = admission()
    peer = Peer()
    first, gone, last = Sync(into, "@a:x"), Sync(into, "@b:x", peer=peer), Sync(into, "@c:x")
    await settle()
    first._finish.set()
    while into.waiting == 2:
        await asyncio.sleep(0)
    peer.leave()
    with pytest.raises(ClientGone):
        await gone.task
    await settle()
    assert last.begun
    await last.finish()
    assert (into.running, into.waiting) == (0, 0)


async def test_a_place_is_kept_until_the_answer_has_been_read() -> None:
    class Slow(Peer):
        async def taken(self) -> None:
            await has_read.wait()

    has_read = asyncio.Event()
    into, _ = admission()
    first, second = Sync(into, "@a:x", peer=Slow()), Sync(into, "@b:x")
    await settle()
    first._finish.set()
    await settle()
    assert not second.begun and into.running == 1
    has_read.set()
    await first.task
    await settle()
    assert second.begun
    await second.finish()


async def test_a_replica_that_leaves_sends_away_who_waits() -> None:
    into, _ = admission()
    first, waits = Sync(into, "@a:x"), Sync(into, "@b:x")
    await settle()
    into.drain()
    late = Sync(into, "@c:x")
    for sync in (waits, late):
        with pytest.raises(Unavailable) as leaving:
            await sync.task
        assert leaving.value.retry_after_ms > 1_000
    await first.finish()
    # Who need not wait is served to the last.
    served = Sync(into, "@d:x")
    await settle()
    assert served.begun
    await served.finish()
    assert (into.running, into.waiting) == (0, 0)
