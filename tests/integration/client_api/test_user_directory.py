"""Client-Server API, "User Directory"."""

from __future__ import annotations

import math
import secrets
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Any

import pytest
import pytest_asyncio
from plexus.client_api.user_directory import service
from plexus.client_api.user_directory.indexing import FAMILIES, WORKER, directory_worker, matters
from plexus.platform.lanes.cursors import LaneWorker, Step, marks_to_wait_for, wait_for

from tests.support.house import V3, House, Person
from tests.support.http import Json, seg

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def worker(house: House) -> AsyncIterator[LaneWorker]:
    """It looks when it is told to: others' changes are there when `look` returns."""
    yield directory_worker(house.platform, house.rooms, house.users, every=0)


async def look(worker: LaneWorker) -> None:
    while await worker.round():
        pass


async def search(person: Person, term: str, **more: Any) -> Json:
    body = {"search_term": term, **more}
    found: Json = (await person.post(f"{V3}/user_directory/search", body)).ok()
    return found


async def ids(person: Person, term: str) -> list[str]:
    return [user["user_id"] for user in (await search(person, term))["results"]]


async def rename(person: Person, name: str | None, field: str = "displayname") -> None:
    path = f"{V3}/profile/{seg(person.user_id)}/{field}"
    answer = await (person.delete(path) if name is None else person.put(path, {field: name}))
    answer.ok()


async def person(house: House, start: str) -> Person:
    return await house.person(f"{start}-{secrets.token_hex(4)}")


async def test_who_shares_a_room_is_found_by_name_and_id(
    house: House, worker: LaneWorker, alice: Person
) -> None:
    zora = await person(house, "zora")
    await rename(zora, "Zoë Müller-Łukasz")
    await rename(zora, "mxc://here.example.org/zoe", "avatar_url")
    await look(worker)
    assert await ids(alice, "zoe") == []
    room_id = await alice.create_room(invite=[zora.user_id])
    await look(worker)
    # "users that share a room with the requesting user": an invite is not yet a room that is shared.
    assert await ids(alice, "zoe") == []
    await zora.join(room_id)
    await look(worker)
    shown = {
        "user_id": zora.user_id,
        "display_name": "Zoë Müller-Łukasz",
        "avatar_url": "mxc://here.example.org/zoe",
    }
    for term in (
        "zoe",
        "ZOË",
        "mull",
        "lukasz zo",
        "zora",
        zora.user_id,
        zora.user_id[:9],
        zora.user_id.upper(),
    ):
        assert await search(alice, term) == {"results": [shown], "limited": False}, term
    for term in ("oe", "zoe smith", "", "!", "here.example.org"):
        assert await ids(alice, term) == [], term
    # Not oneself.
    assert await ids(zora, "zora") == []
    await zora.post(f"{zora.room(room_id)}/leave")
    await look(worker)
    assert await ids(alice, "zoe") == []


async def test_names_change(house: House, worker: LaneWorker, alice: Person) -> None:
    yuri = await person(house, "yuri")
    room_id = await alice.create_room(preset="public_chat")
    await yuri.join(room_id)
    await rename(yuri, "Quokka")
    await look(worker)
    assert await ids(alice, "quokka") == [yuri.user_id]
    # A name in one room is for that room.
    content = {"membership": "join", "displayname": "Secretive"}
    (await yuri.put(f"{yuri.room(room_id)}/state/m.room.member/{seg(yuri.user_id)}", content)).ok()
    await look(worker)
    assert await ids(alice, "secretive") == []
    await rename(yuri, "Wombat")
    await look(worker)
    assert (await ids(alice, "quokka"), await ids(alice, "wombat")) == ([], [yuri.user_id])
    await rename(yuri, None)
    await look(worker)
    assert (await ids(alice, "wombat"), await ids(alice, "yuri")) == ([], [yuri.user_id])


@pytest.mark.parametrize(
    ("event_type", "opened", "closed"),
    [
        ("m.room.join_rules", {"join_rule": "public"}, {"join_rule": "invite"}),
        (
            "m.room.history_visibility",
            {"history_visibility": "world_readable"},
            {"history_visibility": "shared"},
        ),
    ],
)
async def test_members_of_open_rooms_are_found_by_everybody(
    house: House, worker: LaneWorker, alice: Person, event_type: str, opened: Json, closed: Json
) -> None:
    host, guest = await person(house, "xhost"), await person(house, "xguest")
    room_id = await host.create_room(invite=[guest.user_id])
    await guest.join(room_id)
    path = f"{host.room(room_id)}/state/{event_type}/"
    for content, found in ((None, False), (opened, True), (closed, False), (opened, True)):
        if content is not None:
            (await host.put(path, content)).ok()
        await look(worker)
        assert (guest.user_id in await ids(alice, "xguest")) is found, content
    await guest.post(f"{guest.room(room_id)}/leave")
    await look(worker)
    assert guest.user_id not in await ids(alice, "xguest")
    assert host.user_id in await ids(alice, "xhost")


async def test_closed_and_locked_accounts_are_not_found(
    house: House, worker: LaneWorker, alice: Person
) -> None:
    victor, wanda = await person(house, "vvictor"), await person(house, "vwanda")
    room_id = await alice.create_room(preset="public_chat")
    for member in (victor, wanda):
        await member.join(room_id)
    await look(worker)
    assert set(await ids(alice, "vv")) | set(await ids(alice, "vw")) == {victor.user_id, wanda.user_id}
    await house.users.moderate(victor.user_id, locked=True)
    await house.users.deactivate(wanda.user_id, erase=False)
    await look(worker)
    assert await ids(alice, "vvictor") == await ids(alice, "vwanda") == []
    await house.users.moderate(victor.user_id, locked=False)
    await look(worker)
    assert await ids(alice, "vvictor") == [victor.user_id]


async def test_the_best_come_first_and_the_rest_is_cut(
    house: House, worker: LaneWorker, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    room_id = await alice.create_room(preset="public_chat")
    people = []
    for name in ("Unaware", "Una Smith", "Una", None):
        member = await person(house, "una" if name is None else "member")
        await member.join(room_id)
        if name is not None:
            await rename(member, name)
        people.append(member.user_id)
    await look(worker)
    unaware, smith, exact, nameless = people
    for candidates in (500, 2):
        monkeypatch.setattr(service, "CANDIDATES", candidates)
        assert await ids(alice, "una") == [exact, smith, nameless, unaware]
        cut = await search(alice, "una", limit=2)
        assert [user["user_id"] for user in cut["results"]] == [exact, smith]
        assert cut["limited"] is True
        assert (await search(alice, "una", limit=4))["limited"] is False


async def test_all_users_if_the_server_says_so(
    house: House, worker: LaneWorker, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody, named = await person(house, "tnobody"), await person(house, "tperson")
    await rename(named, "Tnamed")
    await look(worker)
    assert await ids(alice, "tn") == []
    directory = house.platform.settings.user_directory
    everybody = directory.model_copy(update={"search_all_users": True})
    monkeypatch.setattr(
        house.platform, "settings", house.platform.settings.model_copy(update={"user_directory": everybody})
    )
    assert await ids(alice, "tn") == [named.user_id, nobody.user_id]


async def test_facts_dropped_before_they_were_read(house: House, worker: LaneWorker, alice: Person) -> None:
    sam = await person(house, "ssam")
    room_id = await alice.create_room(preset="public_chat")
    await look(worker)
    await sam.join(room_id)
    await rename(sam, "Marsupial")
    await house.platform.db.call("UPDATE lanes.lane SET floor = head RETURNING 1")
    await rename(alice, "Alice")
    await alice.send(room_id, "hello")
    await look(worker)
    assert await ids(alice, "marsupial") == [sam.user_id]


async def test_bad_requests(house: House, alice: Person) -> None:
    path = f"{V3}/user_directory/search"
    assert (await alice.post(path, {})).error() == (400, "M_MISSING_PARAM")
    assert (await alice.post(path, {"search_term": 1})).error() == (400, "M_BAD_JSON")
    assert (await alice.post(path, {"search_term": "a", "limit": -1})).error() == (400, "M_BAD_JSON")
    assert (await alice.post(path, {"search_term": "\0"})).ok() == {"results": [], "limited": False}
    assert (await house.client().post(path, {"search_term": "a"})).error() == (401, "M_MISSING_TOKEN")


async def test_nobody_waits_for_messages(house: House, worker: LaneWorker, alice: Person) -> None:
    """Who searches waits until what they have changed can be found, and for nothing else."""

    async def is_there() -> bool:
        marks = await marks_to_wait_for(house.platform, alice.user_id, FAMILIES)
        assert marks
        weigh = partial(matters, house.rooms)
        return await wait_for(house.platform, WORKER, marks, matters=weigh, timeout=0)

    room_id = await alice.create_room()
    await look(worker)
    assert await is_there()
    for number in range(3):
        await alice.send(room_id, f"number {number}")
        assert await is_there()
    await rename(alice, "Alice of " + room_id)
    assert not await is_there()
    await look(worker)
    assert await is_there()
    # More than are looked at one by one.
    for number in range(101):
        await alice.send(room_id, f"another {number}")
    assert not await is_there()


async def test_what_does_not_matter_moves_the_cursors_of_all_lanes_together(
    house: House, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    rooms: dict[int, str] = {}
    while len(rooms) < 3:
        room_id = await alice.create_room()
        ref = await house.rooms.ref(room_id)
        assert ref is not None
        rooms[ref.lane] = room_id
    worker = directory_worker(house.platform, house.rooms, house.users, every=0)
    await look(worker)
    moved: list[int] = []
    move = worker._move

    async def counting(steps: Sequence[Step]) -> bool:
        moved.append(len(steps))
        return await move(steps)

    async def behind() -> int:
        async with house.platform.db.read(primary=True) as session:
            row = await session.one(
                "SELECT sum(l.head - c.position)::integer FROM lanes.cursor c JOIN lanes.lane l"
                " USING (family, lane) WHERE c.worker = %s AND c.family = 'r' AND c.lane = ANY (%s)",
                (WORKER, list(rooms)),
            )
        assert row is not None
        return int(row[0])

    monkeypatch.setattr(worker, "_move", counting)
    monkeypatch.setattr(worker, "_next_move", math.inf)
    for room_id in rooms.values():
        await alice.send(room_id, "of no interest")
        await look(worker)
    assert await behind() == 3 and not moved
    monkeypatch.setattr(worker, "_next_move", 0.0)
    await alice.send(room_id, "of no interest either")
    await look(worker)
    assert await behind() == 0 and moved == [3]
    # Another goes on from there, and has nothing to do.
    await look(directory_worker(house.platform, house.rooms, house.users, every=0))
    assert await behind() == 0
