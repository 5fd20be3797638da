"""The watch over PostgreSQL, round by round."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from plexus.platform.postgres import StoreUnavailable
from plexus.platform.postgres.watch import LOOK_AFTER, UNREADY_AFTER, StoreWatch


@dataclass(eq=False)
class Line:
    awaited: object | None = None
    given_up: list[str] = field(default_factory=list)

    def give_up(self, error: str) -> None:
        self.given_up.append(error)
        self.awaited = None


@dataclass
class Store:
    """``present``: whether it answers a look."""

    lines: list[Line] = field(default_factory=list)
    answers: int = 0
    present: bool = True
    looks: int = 0

    def watch(self, seconds: float = 0) -> StoreWatch:
        return StoreWatch(lambda: self.lines, lambda: self.answers, self.look, seconds=seconds)

    async def look(self) -> None:
        self.looks += 1
        if not self.present:
            raise StoreUnavailable("away")
        self.answers += 1


async def rounds(watch: StoreWatch, count: int) -> None:
    for _ in range(count):
        watch.round()
        await asyncio.sleep(0)
        await asyncio.sleep(0)


async def test_a_process_whose_store_is_silent_is_not_ready_until_it_answers() -> None:
    store = Store(present=False)
    watch = store.watch()
    await rounds(watch, UNREADY_AFTER - 1)
    assert watch.why_not_ready() is None
    await rounds(watch, 3)
    assert watch.why_not_ready() == f"PostgreSQL has not answered for {UNREADY_AFTER + 2} seconds"
    store.present = True
    await rounds(watch, 2)
    assert watch.why_not_ready() is None
    await watch.stop()


async def test_nothing_is_asked_while_there_are_answers() -> None:
    store = Store()
    watch = store.watch()
    for _ in range(20):
        store.answers += 1
        await rounds(watch, 1)
    assert store.looks == 0
    await rounds(watch, 4 * (LOOK_AFTER + 1))
    assert store.looks == 4, "and one is enough for a while"
    assert watch.why_not_ready() is None


async def test_one_look_at_a_time() -> None:
    store = Store()
    never = asyncio.Event()

    async def look() -> None:
        store.looks += 1
        await never.wait()

    watch = StoreWatch(list, lambda: 0, look, seconds=0)
    await rounds(watch, 10)
    assert store.looks == 1
    assert watch.why_not_ready() is not None
    await watch.stop()


async def test_an_answer_that_does_not_come_costs_the_connection() -> None:
    stuck, busy, idle = Line(object()), Line(object()), Line()
    store = Store([stuck, busy, idle])
    watch = store.watch(seconds=3)
    for _ in range(3):
        watch.round()
        busy.awaited = object()
    assert stuck.given_up == []
    watch.round()
    assert stuck.given_up == ["PostgreSQL has not answered in 3 seconds"]
    # The next one on the same connection has its own time.
    stuck.awaited = object()
    for _ in range(3):
        watch.round()
        busy.awaited = object()
    assert len(stuck.given_up) == 1
    assert busy.given_up == idle.given_up == []
    await watch.stop()


async def test_without_a_limit_nothing_is_given_up() -> None:
    stuck = Line(object())
    watch = Store([stuck]).watch()
    await rounds(watch, 100)
    assert stuck.given_up == []
    await watch.stop()
