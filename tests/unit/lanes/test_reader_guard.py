"""When reads may go to a replica of PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from plexus.platform.lanes import ROOM, USER, Heads
from plexus.platform.lanes.order import LaneKey
from plexus.platform.lanes.reader_guard import ReaderGuard
from plexus.platform.postgres import ReadSession

SESSION = cast(ReadSession, None)


class Scene:
    """A replica with ``heads``, and somebody who follows two lanes."""

    def __init__(self) -> None:
        self.heads = Heads(7, (5, 5), (3,))
        self.generation = 7
        self.heard: dict[LaneKey, int] = {(ROOM, 0): 5, (USER, 0): 3}
        self.asked = 0
        self.guard = ReaderGuard(self.read, lambda: self.generation)
        self.end = self.guard.follow(self.positions)

    def positions(self) -> Iterable[tuple[LaneKey, int]]:
        return self.heard.items()

    async def read(self, session: ReadSession) -> Heads:
        self.asked += 1
        return self.heads


async def test_a_replica_that_has_all_that_was_heard_of_is_asked_once() -> None:
    scene = Scene()
    assert [await scene.guard.lags(SESSION) for _ in range(3)] == [False] * 3
    assert scene.asked == 1


async def test_one_that_lacks_something_is_asked_each_time_until_it_has_it() -> None:
    scene = Scene()
    scene.heard[ROOM, 0] = 6
    assert await scene.guard.lags(SESSION) and await scene.guard.lags(SESSION)
    scene.heads = Heads(7, (6, 5), (3,))
    assert not await scene.guard.lags(SESSION) and not await scene.guard.lags(SESSION)
    assert scene.asked == 3
    scene.heard[USER, 0] = 4
    assert await scene.guard.lags(SESSION)


async def test_what_is_heard_while_it_is_asked_is_not_what_it_lacks() -> None:
    scene = Scene()

    async def read(session: ReadSession) -> Heads:
        scene.heard[ROOM, 0] += 1
        return Heads(7, (5, 5), (3,))

    scene.guard = ReaderGuard(read, lambda: 7)
    scene.guard.follow(scene.positions)
    assert not await scene.guard.lags(SESSION)
    assert await scene.guard.lags(SESSION)


async def test_one_of_another_generation_lacks_all() -> None:
    scene = Scene()
    scene.generation = 8
    assert await scene.guard.lags(SESSION)
    scene.heads = Heads(8, (5, 5), (3,))
    assert not await scene.guard.lags(SESSION)


async def test_where_nobody_follows_it_is_not_asked() -> None:
    scene = Scene()
    scene.end()
    assert not await scene.guard.lags(SESSION) and not scene.asked
