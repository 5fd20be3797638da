"""Delta equals fresh: whatever happens, folding every incremental sync gives what a fresh initial sync gives,
no event twice, none lost, and nothing of other rooms.

Several users act at random; each syncs at random moments, each in a way of their own (small limits, filters,
lazily loaded members, ``use_state_after``), by replicas that come and go.
"""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from tests.integration.sync.building import open_building
from tests.integration.sync.town import Town
from tests.support.postgres import TestDatabase


@pytest.mark.parametrize("seed", range(6))
async def test_folding_every_delta_gives_what_a_fresh_sync_gives(
    seed: int, database: TestDatabase, tmp_path: Path
) -> None:
    rng = random.Random(seed)
    async with open_building(database, tmp_path) as building:
        town = await Town.found(building, f"user{seed}s", rng)
        for step in range(160):
            if step % 40 == 0:
                await town.replica()
            if step == 100:
                # As after a failover: tokens of before go on from where this one begins.
                await building.platform.log.begin_generation("a test")
            await town.act()
            if rng.random() < 0.3:
                await town.look(rng.randrange(len(town.people)), town.some_replica())
            if step % 40 == 39:
                await town.check(town.some_replica())
        assert any(fold.rooms for fold in town.folds)


@pytest.mark.parametrize("seed", range(4))
async def test_it_does_so_while_everybody_acts_and_polls_at_once(
    seed: int, database: TestDatabase, tmp_path: Path
) -> None:
    rng = random.Random(seed)
    async with open_building(database, tmp_path) as building:
        town = await Town.found(building, f"at{seed}s", rng)
        stop = asyncio.Event()
        await town.replica()
        async with asyncio.TaskGroup() as group:
            for index in range(len(town.people)):
                group.create_task(town.follow(index, stop))
            for step in range(60):
                await asyncio.gather(*(town.act() for _ in range(3)))
                await asyncio.sleep(rng.choice([0, 0, 0.02]))
                if step % 20 == 19:
                    await town.replica()
            stop.set()
        await town.check(town.some_replica())
        assert any(fold.rooms for fold in town.folds)
