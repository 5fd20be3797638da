from __future__ import annotations

import asyncio

import pytest
from plexus.platform.lanes import Fact, Group, MemoryFanout


def group(family: str, position: int) -> Group:
    return Group(1, family, 0, (Fact(position, 1, "!a:x"),))


async def test_groups_reach_the_subscribers_of_their_family_after_publish_has_returned() -> None:
    fanout = MemoryFanout()
    seen: list[Group] = []
    subscription = fanout.subscribe(["r"], seen.append)
    fanout.publish(group("r", 1))
    fanout.publish(group("u", 1))
    fanout.publish(group("r", 2))
    assert seen == []
    await asyncio.sleep(0)
    assert seen == [group("r", 1), group("r", 2)]
    subscription.close()
    subscription.close()
    fanout.publish(group("r", 3))
    await asyncio.sleep(0)
    assert len(seen) == 2


async def test_a_subscriber_that_fails_does_not_keep_groups_from_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    fanout = MemoryFanout()
    seen: list[Group] = []

    def fail(_: Group) -> None:
        raise RuntimeError("broken")

    fanout.subscribe(["r"], fail)
    fanout.subscribe(["r"], seen.append)
    fanout.publish(group("r", 1))
    await asyncio.sleep(0)
    assert len(seen) == 1
    assert "broken" in caplog.text
