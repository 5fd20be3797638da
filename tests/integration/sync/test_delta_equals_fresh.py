"""Delta equals fresh: whatever happens, folding every incremental sync gives what a fresh initial sync gives,
no event twice, none lost, and nothing of other rooms; for /v3/sync and for sliding sync.

Several users act at random; each follows both, each in ways of their own (small limits, filters, lazily
loaded members, ``use_state_after``, windows that move), by replicas that come and go. First one thing after
another, as a state machine that tells the shortest story it finds; then all at once.

``PLEXUS_TEST_DELTA_STORIES`` has the machine tell so many stories, other ones each time; otherwise it tells
the same few.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.integration.sync.building import Building, open_building
from tests.integration.sync.town import WAYS, Town
from tests.support.postgres import TestDatabase

STORIES = int(os.environ.get("PLEXUS_TEST_DELTA_STORIES", "0"))
FEW = 8

PEOPLE = 4

PATIENT = {"reach_seconds": 10}
"""A replica that is behind another's token for longer answers 503, which is right and no part of these
stories: a second is not much where all of them share one event loop.
"""

T = TypeVar("T")

_numbers = count(1)

chances = st.randoms(use_true_random=False)
people = st.integers(0, PEOPLE - 1)
KINDS = [*(kind for kind, weight in Town.EVERYDAY for _ in range(weight)), *Town.RARE]
"""What somebody may do next, each as often as its weight says."""


class Stage:
    """An event loop with a building, for stories that are told step by step."""

    building: Building

    def __init__(self, database: TestDatabase, folder: Path) -> None:
        self._runner = asyncio.Runner()
        self._stack = AsyncExitStack()
        opening = self._stack.enter_async_context(open_building(database, folder, sync=PATIENT))
        self.building = self.run(opening)

    def run(self, what: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(what)

    def close(self) -> None:
        self.run(self._stack.aclose())
        self._runner.close()


@pytest.fixture
def stage(database: TestDatabase, tmp_path: Path) -> Iterator[Stage]:
    made = Stage(database, tmp_path)
    yield made
    made.close()


class Story(RuleBasedStateMachine):
    stage: Stage
    calm = 0
    """Actions since something was out of order."""

    @initialize(way=st.integers(0, len(WAYS) - 1))
    def begin(self, way: int) -> None:
        name = f"story{next(_numbers)}p"
        found = Town.found(self.stage.building, name, random.Random(0), PEOPLE, way)
        self.town = self.run(found)
        self.run(self.town.replica())

    def run(self, what: Coroutine[Any, Any, T]) -> T:
        return self.stage.run(what)

    @rule(things=st.lists(st.tuples(st.sampled_from(KINDS), people), min_size=1, max_size=5), chance=chances)
    def act(self, things: list[tuple[str, int]], chance: random.Random) -> None:
        self.town.rng = chance
        for kind, who in things:
            self.run(self.town.do(kind, who))
        self.calm += 1

    @rule(who=people, chance=chances)
    def look(self, who: int, chance: random.Random) -> None:
        self.town.rng = chance
        self.run(self.town.look(who, self.town.some_replica()))

    @rule(who=people, chance=chances)
    def slide(self, who: int, chance: random.Random) -> None:
        self.town.rng = chance
        self.run(self.town.slide(who, self.town.some_replica()))

    @precondition(lambda self: self.calm > 6)
    @rule(kind=st.integers(0, 4), chance=chances)
    def trouble(self, kind: int, chance: random.Random) -> None:
        """A replica goes, and one comes that knows nothing. Or a new generation of the log begins, as after a
        failover: tokens of before go on from there.
        """
        self.town.rng, self.calm = chance, 0
        if kind:
            self.run(self.town.replica())
        else:
            self.run(self.stage.building.platform.log.begin_generation("a test"))

    def teardown(self) -> None:
        self.run(self.town.check(self.stage.building.replicas[-1]))
        self.run(self.town.check(self.stage.building.replicas[-2]))


@pytest.mark.timeout(120 + 30 * (STORIES or FEW))
def test_folding_every_delta_gives_what_a_fresh_sync_gives(stage: Stage) -> None:
    class Told(Story):
        pass

    Told.stage = stage
    run_state_machine_as_test(
        Told,
        settings=settings(
            max_examples=STORIES or FEW,
            stateful_step_count=60,
            derandomize=not STORIES,
            database=None,
            deadline=None,
            print_blob=False,
            phases=[Phase.generate, Phase.shrink] if STORIES else [Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.parametrize("seed", range(4))
async def test_it_does_so_while_everybody_acts_and_polls_at_once(
    seed: int, database: TestDatabase, tmp_path: Path
) -> None:
    rng = random.Random(seed)
    async with open_building(database, tmp_path, sync=PATIENT) as building:
        town = await Town.found(building, f"at{seed}s", rng, 6, way=seed * 3)
        stop = asyncio.Event()
        await town.replica()
        async with asyncio.TaskGroup() as group:
            for index in range(len(town.people)):
                group.create_task(town.follow(index, stop))
                group.create_task(town.watch(index, stop))
            for step in range(60):
                await asyncio.gather(*(town.act() for _ in range(3)))
                await asyncio.sleep(rng.choice([0, 0, 0.02]))
                if step % 20 == 19:
                    await town.replica()
            stop.set()
        await town.check(town.some_replica())
        assert any(fold.rooms for fold in town.folds)
        assert any(connection.rooms for connection in town.connections)
        assert any(connection.threads for connection in town.connections)
