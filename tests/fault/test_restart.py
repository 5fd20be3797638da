"""Stop, start, copy: the data folder is all the state, and clients go on where they were."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import psutil
import pytest

from tests.support.matrix import Client, Json
from tests.support.server import PLEXUS, PlexusServer


def bodies(sync: Json, room_id: str) -> list[str]:
    room = sync.get("rooms", {}).get("join", {}).get(room_id, {})
    events = room.get("timeline", {}).get("events", [])
    return [event["content"]["body"] for event in events if event["type"] == "m.room.message"]


async def test_a_sync_token_outlives_a_restart(fresh_plexus: PlexusServer) -> None:
    async with aiohttp.ClientSession() as session:
        alice = await Client(session, fresh_plexus.base_url).register("alice")
        room_id = await alice.create_room()
        since = (await alice.sync())["next_batch"]
        await alice.send(room_id, "before")
        assert fresh_plexus.stop() == 0
        fresh_plexus.start()
        await alice.send(room_id, "after")
        answer = await alice.sync(since)
        assert bodies(answer, room_id) == ["before", "after"]
        assert bodies(await alice.sync(answer["next_batch"]), room_id) == []


@contextlib.contextmanager
def frozen(server: PlexusServer) -> Iterator[None]:
    """Stop the clock of PostgreSQL's processes: their files are now as after a power cut at this moment."""
    postmaster = server.postgres_pid()
    assert postmaster is not None
    parent = psutil.Process(postmaster)
    processes = [parent, *parent.children()]
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            process.resume()


@pytest.mark.timeout(240)
async def test_a_copy_of_a_stopped_folder(fresh_plexus: PlexusServer, tmp_path: Path) -> None:
    """The copy is the server. A token of the life that the original led later is unknown to it."""
    async with aiohttp.ClientSession() as session:
        alice = await Client(session, fresh_plexus.base_url).register("alice")
        room_id = await alice.create_room()
        await alice.send(room_id, "one")
        old = (await alice.sync())["next_batch"]
        fresh_plexus.stop()
        shutil.copytree(fresh_plexus.data, tmp_path / "copy", symlinks=True)
        fresh_plexus.start()
        await alice.send(room_id, "only in the original")
        ahead = (await alice.sync(old))["next_batch"]
        fresh_plexus.stop()

        with PlexusServer(tmp_path / "copy") as copy:
            twin = Client(session, copy.base_url, alice.user_id, alice.access_token, alice.device_id)
            await twin.send(room_id, "two")
            assert bodies(await twin.sync(old), room_id) == ["two"]
            answer = await twin.sync(ahead)
            assert bodies(answer, room_id) == ["one", "two"]
            await twin.send(room_id, "three")
            assert bodies(await twin.sync(answer["next_batch"]), room_id) == ["three"]


@pytest.mark.timeout(240)
async def test_a_copy_of_a_running_folder(fresh_plexus: PlexusServer, tmp_path: Path) -> None:
    """A snapshot of the disk: tokens that went further since are cut back to it; nothing is skipped."""
    async with aiohttp.ClientSession() as session:
        alice = await Client(session, fresh_plexus.base_url).register("alice")
        room_id = await alice.create_room()
        await alice.send(room_id, "one")
        old = (await alice.sync())["next_batch"]
        with frozen(fresh_plexus):
            shutil.copytree(fresh_plexus.data, tmp_path / "copy", ignore=shutil.ignore_patterns("*.PGSQL.*"))
        for number in range(5):
            await alice.send(room_id, f"only in the original {number}")
        ahead = (await alice.sync(old))["next_batch"]
        fresh_plexus.stop()

        with PlexusServer(tmp_path / "copy") as copy:
            twin = Client(session, copy.base_url, alice.user_id, alice.access_token, alice.device_id)
            await twin.send(room_id, "two")
            assert bodies(await twin.sync(ahead), room_id) == ["two"], "cut back to the copy, not believed"
            await twin.send(room_id, "three")
            assert bodies(await twin.sync(old), room_id) == ["two", "three"]
            texts = [event["content"].get("body") for event in await twin.history(room_id)]
            assert [text for text in texts if text] == ["three", "two", "one"]


@pytest.mark.timeout(240)
async def test_new_code_migrates_old_data(fresh_plexus: PlexusServer) -> None:
    """`plexus db migrate` on data that are up to date changes nothing, and the server starts again."""
    async with aiohttp.ClientSession() as session:
        alice = await Client(session, fresh_plexus.base_url).register("alice")
        room_id = await alice.create_room()
        event_id = await alice.send(room_id, "still here?")
        fresh_plexus.stop()
        for _ in range(2):
            run = subprocess.run(
                [str(PLEXUS), "db", "migrate", "--data", str(fresh_plexus.data)],
                capture_output=True,
                text=True,
                check=False,
                timeout=60,
            )
            assert run.returncode == 0, run.stdout + run.stderr
            assert "up to date" in run.stdout
        fresh_plexus.start()
        assert (await alice.history(room_id))[0]["event_id"] == event_id


async def test_drain(fresh_plexus: PlexusServer) -> None:
    """SIGTERM under held polls: all are answered 200 at once, with a token that works after the restart."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        alice = await Client(session, fresh_plexus.base_url).register("alice")
        room_id = await alice.create_room(preset="public_chat")
        members = [await Client(session, fresh_plexus.base_url).register(f"member{n}") for n in range(50)]
        for member in members:
            await member.join(room_id)
        # That the others come online is news too, and may come late.
        quiet = json.dumps({"presence": {"not_types": ["*"]}})
        tokens = [(await member.sync(filter=quiet))["next_batch"] for member in members]
        polls = [
            asyncio.create_task(member.sync(since, timeout_ms=60_000, filter=quiet))
            for member, since in zip(members, tokens, strict=True)
        ]
        await asyncio.sleep(1)
        early = [poll.result() for poll in polls if poll.done()]
        assert not early, f"nothing happened yet, so the polls are held: {early[0]}"
        code = await asyncio.to_thread(fresh_plexus.stop, 30)
        answers = await asyncio.gather(*polls)
        assert code == 0
        await asyncio.to_thread(fresh_plexus.start)
        await alice.send(room_id, "back again")
        for member, answer in zip(members, answers, strict=True):
            assert bodies(await member.sync(answer["next_batch"]), room_id) == ["back again"]
