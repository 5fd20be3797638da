"""When the marks of held polls are looked at: together, a little later, with a message if there is one."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import Any, cast

import pytest
from plexus.platform.marks import LaneKey
from plexus.sync import own_writes
from plexus.sync.own_writes import Looks, OwnWrites
from plexus.sync.replica.polls import Poll


class Asked:
    """Marks that note who was asked for, and a replica that has seen what is ``seen``."""

    def __init__(self) -> None:
        self.users: list[set[str]] = []
        self.seen = True

    async def get_many(self, user_ids: Collection[str]) -> Mapping[str, Mapping[LaneKey, int]]:
        self.users.append(set(user_ids))
        return {user_id: {} for user_id in user_ids}

    def has_seen(self, _: Mapping[LaneKey, int] | None) -> bool:
        return self.seen


def looks_at(asked: Asked) -> Looks:
    return Looks(cast(Any, asked), cast(Any, asked))


def held(looks: Looks, user_id: str) -> OwnWrites:
    own = OwnWrites(user_id)
    poll = Poll("DEVICE", asyncio.get_running_loop().create_future(), "sync", 0)
    looks.put_off(own, poll)
    return own


@pytest.fixture
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_writes, "GATHER_SECONDS", 0.05)


@pytest.mark.usefixtures("_soon")
def test_polls_that_come_one_after_the_other_are_looked_after_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        asked = Asked()
        looks = looks_at(asked)
        monkeypatch.setattr(own_writes, "EARLY_SECONDS", 3600)
        owns = [held(looks, "@a:x"), held(looks, "@b:x")]
        looks.go_along()
        await asyncio.sleep(0)
        assert asked.users == [], "a message that comes at once takes nothing along"
        async with asyncio.timeout(5):
            while not all(own.seen for own in owns):
                await asyncio.sleep(0.01)
        assert asked.users == [{"@a:x", "@b:x"}]
        await looks.stop()

    asyncio.run(scenario())


def test_a_message_takes_a_look_along_that_is_nearly_due(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_writes, "GATHER_SECONDS", 3600)
    monkeypatch.setattr(own_writes, "EARLY_SECONDS", 0.05)

    async def scenario() -> None:
        asked = Asked()
        looks = looks_at(asked)
        own = held(looks, "@a:x")
        await asyncio.sleep(0.06)
        for _ in range(3):  # all whom the message has woken
            looks.go_along()
        async with asyncio.timeout(5):
            while not own.seen:
                await asyncio.sleep(0.01)
        assert asked.users == [{"@a:x"}]
        monkeypatch.setattr(own_writes, "EARLY_SECONDS", 3600)
        held(looks, "@b:x")
        looks.go_along()
        await asyncio.sleep(0.01)
        assert len(asked.users) == 1, "who has only just come waits for others"
        await looks.stop()

    asyncio.run(scenario())


@pytest.mark.usefixtures("_soon")
def test_who_wrote_what_is_not_here_yet_is_woken() -> None:
    async def scenario() -> None:
        asked = Asked()
        asked.seen = False
        looks = looks_at(asked)
        own = held(looks, "@a:x")
        assert own.poll is not None
        async with asyncio.timeout(5):
            await own.poll.future
        assert not own.seen
        await looks.stop()

    asyncio.run(scenario())
