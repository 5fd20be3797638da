"""The look for tasks goes on whatever happens to one look."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from plexus.client_api.profiles import room_tasks
from plexus.client_api.profiles.room_tasks import RoomTasks
from plexus.protocol.errors import Unavailable
from plexus.rooms import Rooms
from plexus.users import Users


class Claims:
    """The look-ups of `Users` that a look makes: each error once, then nothing to do."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.fine = asyncio.Event()

    async def claim_room_tasks(self, **_: Any) -> list[Any]:
        if self.errors:
            raise self.errors.pop(0)
        self.fine.set()
        return []


async def test_an_unexpected_error_does_not_end_the_look(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(room_tasks, "LOOK_EVERY", 0.01)
    unexpected = RuntimeError("of no known kind")
    claims = Claims(Unavailable("the database is away"), unexpected)
    tasks = RoomTasks(cast(Rooms, None), cast(Users, claims))
    await tasks.start()
    await asyncio.wait_for(claims.fine.wait(), 5)
    await tasks.drain()
    expected, failed = caplog.records
    assert (expected.levelname, expected.exc_info) == ("WARNING", None)
    assert failed.levelname == "ERROR"
    assert failed.exc_info is not None and failed.exc_info[1] is unexpected
