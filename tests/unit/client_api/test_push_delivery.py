"""A worker that tells push gateways ends when it is asked to, whatever happens in the same moment."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
from plexus.client_api.pushing.delivery import Delivery
from plexus.client_api.waiting import Waiting
from plexus.platform.clock import SystemClock
from plexus.platform.context import Platform
from plexus.platform.postgres import Database
from plexus.platform.telemetry import Metrics


class NothingDue:
    async def call(self, *_: object) -> Sequence[tuple[Any, ...]]:
        return [(None, False)]


@pytest.mark.parametrize("turns", range(5))
async def test_it_ends_also_if_something_was_queued_just_now(turns: int) -> None:
    platform = SimpleNamespace(
        db=NothingDue(), clock=SystemClock(), telemetry=SimpleNamespace(metrics=Metrics())
    )
    nobody = cast(Any, None)
    waiting = Waiting(cast(Database, platform.db), platform.clock)
    delivery = Delivery(cast(Platform, platform), nobody, nobody, nobody, waiting, look_every=0.2)
    await delivery.start()
    await asyncio.sleep(0.02)
    delivery.wake()
    for _ in range(turns):
        await asyncio.sleep(0)
    async with asyncio.timeout(2):
        await delivery.drain()
