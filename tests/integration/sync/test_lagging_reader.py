"""Reads from a standby that lags behind what sync has heard of."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from plexus.platform.lanes import Heads
from plexus.platform.migrate import READER, WRITER

from tests.integration.sync.building import SOON, Building, SyncPerson, open_building
from tests.integration.sync.test_sliding import slide, top
from tests.integration.sync.test_sync import ids, joined
from tests.support.http import Json, seg
from tests.support.postgres import TestDatabase
from tests.support.standby import Standby, migrated_primary


@pytest.fixture
def standby() -> Iterator[tuple[TestDatabase, Standby]]:
    """A database that is written to a primary and read from its standby."""
    with migrated_primary() as (folder, port, primary):
        made = Standby(folder / "standby", port, follows=True)
        made.start()
        writer = f"host=127.0.0.1 port={port} user={WRITER} dbname=plexus"
        yield TestDatabase("plexus", primary.dsn(), writer, made.dsn(READER)), made
        made.stop()


async def abreast(building: Building) -> Heads:
    """Wait until the standby has all there is."""
    log = building.platform.log
    heads = await log.heads(primary=True)
    async with asyncio.timeout(SOON + 5):
        while await log.heads_of_replica() != heads:
            await asyncio.sleep(0.02)
    return heads


async def test_what_a_token_counts_as_told_was_told_though_the_standby_lacks_it(
    standby: tuple[TestDatabase, Standby], tmp_path: Path
) -> None:
    """A first answer, one after more than the tail has, and one of sliding sync: all up to their token."""
    database, copy = standby
    async with open_building(database, tmp_path, sync={"tail_mb": 1}) as building:
        alice, bob, carol = [await building.person(name) for name in ("alice", "bob", "carol")]
        room_id = await alice.create_room(preset="public_chat")
        for person in (bob, carol):
            await person.join(room_id)
        since = (await bob.sync())["next_batch"]
        for number in range(60):
            await alice.send(room_id, "x" * 30_000, str(number))
        await abreast(building)
        assert await building.replicas[-1].reach_heads()
        copy.replay(on=False)
        newest = await alice.send(room_id, "the newest")
        topic = await alice.set_state(room_id, "m.room.topic", {"topic": "of now"})
        other = await alice.create_room(invite=[bob.user_id])
        assert await building.replicas[-1].reach_heads()
        for answer in (await carol.sync(), await bob.sync(since), await bob.sync()):
            assert ids(joined(answer, room_id))[-2:] == [newest, topic]
        assert other in (await bob.sync())["rooms"]["invite"]
        slid = await slide(carol, lists=top(10, {"timeline_limit": 20, "required_state": {}}), conn_id="anew")
        assert [event["event_id"] for event in slid["rooms"][room_id]["timeline"]][-2:] == [newest, topic]
        copy.replay(on=True)
        await abreast(building)


async def test_what_was_redacted_is_not_read_again_from_a_standby_that_lacks_the_redaction(
    standby: tuple[TestDatabase, Standby], tmp_path: Path
) -> None:
    """Neither told nor kept for who asks later: of a message, of the state, and of a member event."""
    database, copy = standby
    much: Json = {"timeline_limit": 20, "required_state": {"include": [{}]}}
    filters: list[Json] = [{}, {"room": {"timeline": {"limit": 1}}}]
    async with open_building(database, tmp_path) as building:
        alice, bob, carol = [await building.person(name) for name in ("alice", "bob", "carol")]
        room_id = await alice.create_room(preset="public_chat")
        for person in (bob, carol):
            await person.join(room_id)
        events = [await alice.send(room_id, "my secret")]
        events.append(await alice.set_state(room_id, "m.room.topic", {"topic": "my secret"}))
        own: Json = {"membership": "join", "displayname": "my secret"}
        events.append(await alice.set_state(room_id, "m.room.member", own, alice.user_id))
        log = building.platform.log

        async def told(person: SyncPerson) -> str:
            answers = [await person.sync(filter=each) for each in filters]
            return str([*answers, await slide(person, lists=top(10, much), conn_id="anew")])

        # What has been written so far the standby has, so the redactions are all that it lacks.
        heads = await abreast(building)
        assert (await told(bob)).count("my secret") > 3
        copy.replay(on=False)
        for number, event_id in enumerate(events):
            (await alice.put(f"{alice.room(room_id)}/redact/{seg(event_id)}/{number}", {})).ok()
        assert await building.replicas[-1].reach_heads()
        assert await log.heads_of_replica() == heads
        assert "my secret" not in await told(bob)
        copy.replay(on=True)
        await abreast(building)
        assert "my secret" not in await told(bob)
        assert "my secret" not in await told(carol)


async def test_what_is_lost_on_the_way_is_read_though_the_standby_lacks_it(
    standby: tuple[TestDatabase, Standby], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody waits for what only the primary has, and nobody here is told of."""
    database, copy = standby
    async with open_building(database, tmp_path) as building:
        alice = await building.person("alice")
        room_id = await alice.create_room()
        since = (await alice.sync())["next_batch"]
        await abreast(building)
        copy.replay(on=False)
        monkeypatch.setattr(building.platform.fanout, "publish", lambda group: None)
        lost = await alice.send(room_id, "lost on the way")
        assert await building.replicas[-1].reach_heads()
        assert ids(joined(await alice.sync(since), room_id)) == [lost]
        copy.replay(on=True)
