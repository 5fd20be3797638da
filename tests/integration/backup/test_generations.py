"""A restore takes the log back: what clients and followers hold of the lost future is cut back."""

from __future__ import annotations

from pathlib import Path

import pytest
from plexus.platform.backup import TargetInUseError, backup, restore
from plexus.platform.lanes import ROOM, USER, Fact, LaneLog, SyncToken, read_lane_map
from plexus.platform.postgres import Database

from tests.support.lanes import append
from tests.support.postgres import TestDatabase

SERVER = "here.example.org"


async def open_log(db: Database) -> LaneLog:
    log = LaneLog(db, await read_lane_map(db))
    await log.start()
    return log


async def token(log: LaneLog) -> SyncToken:
    heads = await log.heads()
    return SyncToken(heads.generation, heads.rooms, heads.users, to_device=heads.users[2])


async def test_tokens_of_the_lost_generation_are_cut_back(busy: TestDatabase, copies: Path) -> None:
    async with busy.open() as db:
        log = await open_log(db)
        early = await token(log)
        await append(db, ROOM, 3, [Fact(0, 1, "!kept:x")])
        at_backup = await token(log)
        backup(busy.owner, copies / "copy", server_name=SERVER)
        await append(db, ROOM, 3, [Fact(0, 1, "!lost:x"), Fact(0, 1, "!lost:x")])
        await append(db, USER, 2, [Fact(0, 1, "@lost:x")])
        ahead = await token(log)
        lost = log.generation()
        with pytest.raises(TargetInUseError):
            restore(copies / "copy", busy.owner, server_name=SERVER, replace=True)

    done = restore(copies / "copy", busy.owner, server_name=SERVER, replace=True)
    async with busy.open() as db:
        log = await open_log(db)
        assert log.generation() == done.generation != lost
        # The positions of what was lost are given again, to other facts.
        assert await append(db, ROOM, 3, [Fact(0, 1, "!new:x")]) == at_backup.rooms[3] + 1 < ahead.rooms[3]
        for held, wanted in ((ahead, at_backup), (at_backup, at_backup), (early, early)):
            cut = await log.clamp(held)
            assert cut is not None
            assert (cut.generation, cut.rooms, cut.users) == (done.generation, wanted.rooms, wanted.users)
            assert min(cut.to_device, cut.users[2]) == wanted.to_device, "beyond are other messages now"
        follows = await log.facts(ROOM, 3, at_backup.rooms[3])
        assert [fact.subject for fact in follows] == ["!new:x"], "nothing is skipped"
        assert await log.clamp(SyncToken(12345, ahead.rooms, ahead.users)) is None


async def test_each_restore_of_the_same_backup_is_a_generation_of_its_own(
    busy: TestDatabase, copies: Path
) -> None:
    """A token from after the first restore is of a generation that the second has never heard of."""
    backup(busy.owner, copies / "copy", server_name=SERVER)
    first = restore(copies / "copy", busy.owner, server_name=SERVER, replace=True)
    async with busy.open() as db:
        log = await open_log(db)
        between = await token(log)
    second = restore(copies / "copy", busy.owner, server_name=SERVER, replace=True)
    assert first.generation != second.generation
    async with busy.open() as db:
        log = await open_log(db)
        assert await log.clamp(between) is None
