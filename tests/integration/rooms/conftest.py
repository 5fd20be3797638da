"""Room engines over a real PostgreSQL: as many as a test wants, on one database, each with caches of its
own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest
import pytest_asyncio
from plexus.platform.clock import ManualClock
from plexus.platform.lanes import Group, LaneLog, LaneMap, MemoryFanout, read_lane_map
from plexus.platform.marks import MemoryMarks
from plexus.platform.postgres import Database
from plexus.protocol.signatures import SigningKey
from plexus.rooms import NewEvent, Rooms, Written

from tests.support.postgres import TestDatabase, database, db  # noqa: F401

SERVER = "here.example.org"
# The tests of a module share a database, and two rooms of version 12 made of one create event would be one:
# so each test has a day of its own.
_starts = count(1_700_000_000_000, 86_400_000)
ALICE, BOB, CAROL = (f"@{name}:{SERVER}" for name in ("alice", "bob", "carol"))


@dataclass
class Named:
    server_name: str = SERVER


class OneKey:
    def __init__(self) -> None:
        self._key = SigningKey("ed25519:1", bytes(32))

    def current(self) -> SigningKey:
        return self._key


@dataclass
class TestGround:
    """What a room engine stands on; ``groups`` are those it has published."""

    __test__ = False

    db: Database
    log: LaneLog
    lanes: LaneMap = field(default_factory=LaneMap)
    settings: Named = field(default_factory=Named)
    clock: ManualClock = field(default_factory=lambda: ManualClock(next(_starts)))
    fanout: MemoryFanout = field(default_factory=MemoryFanout)
    marks: MemoryMarks = field(default_factory=MemoryMarks)
    keys: OneKey = field(default_factory=OneKey)
    groups: list[Group] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.fanout.subscribe(["r"], self.groups.append)


@pytest_asyncio.fixture
async def ground(database: TestDatabase) -> AsyncIterator[TestGround]:  # noqa: F811
    """With connections for several engines, each of which keeps some."""
    async with database.open(writers=24, readers=4) as db:  # noqa: F811
        lanes = await read_lane_map(db)
        log = LaneLog(db, lanes)
        await log.start()
        yield TestGround(db=db, log=log, lanes=lanes)


MakeRooms = Callable[..., Rooms]


@pytest_asyncio.fixture
async def make_rooms(ground: TestGround) -> AsyncIterator[MakeRooms]:
    """One more engine on the same database, as another replica has it."""
    made: list[Rooms] = []

    def make() -> Rooms:
        made.append(Rooms(ground))
        return made[-1]

    yield make
    for rooms in made:
        await rooms.stop()


@pytest.fixture
def rooms(make_rooms: MakeRooms) -> Rooms:
    return make_rooms()


@dataclass(frozen=True)
class Eyes:
    """Whose answer it is, and when."""

    now_ms: int
    user_id: str = ALICE
    device_id: str | None = None


def member(user_id: str, membership: str = "join", **content: Any) -> NewEvent:
    return NewEvent("m.room.member", {"membership": membership, **content}, user_id)


def state(type: str, state_key: str = "", **content: Any) -> NewEvent:
    return NewEvent(type, content, state_key)


def message(body: str) -> NewEvent:
    return NewEvent("m.room.message", {"msgtype": "m.text", "body": body})


def first_events(
    creator: str,
    version: str = "12",
    *,
    join_rule: str = "public",
    visibility: str | None = None,
    **power: Any,
) -> list[NewEvent]:
    """A room as the client API would make it."""
    users = {} if version == "12" else {creator: 100}
    events = [
        NewEvent("m.room.create", {}, ""),
        member(creator),
        state("m.room.power_levels", users=users, **power),
        state("m.room.join_rules", join_rule=join_rule),
    ]
    if visibility is not None:
        events.append(state("m.room.history_visibility", history_visibility=visibility))
    return events


async def make_room(rooms: Rooms, creator: str = ALICE, version: str = "12", **options: Any) -> str:
    written: Written = await rooms.create(creator, version, first_events(creator, version, **options))
    return written.room_id


async def join(rooms: Rooms, room_id: str, user_id: str) -> Written:
    return await rooms.send(room_id, user_id, member(user_id))
