"""Reading one's own writes through another replica, by every operation that takes or gives a token.

Two buildings on one PostgreSQL are two processes that hear nothing of each other (see `test_own_writes`).
What is written by one is asked for by the other at once, with a token that it gave before: once with Redis,
once without. What was asked there before has warmed its caches, so a stale one would show.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest
import pytest_asyncio
from plexus.client_api.mutual_rooms import service as mutual_rooms
from plexus.client_api.search.indexing import search_worker
from plexus.platform.settings import KafkaSettings, RedisSettings

from deploy.local.redis import RedisServer
from tests.integration.client_api.relating import ids, react, redact, relations, reply_in_thread, say, threads
from tests.integration.sync.building import Building, SyncPerson, open_building
from tests.integration.sync.test_sliding import STABLE, UNSTABLE
from tests.support import spec
from tests.support.house import SERVER, V3
from tests.support.http import Json, seg
from tests.support.postgres import TestDatabase, database
from tests.support.redis import need_redis, place

__all__ = ["database"]

pytestmark = pytest.mark.asyncio(loop_scope="module")

_numbers = count(1)


@dataclass
class Two:
    """Alice and bob, who write here and look there; and a room of theirs."""

    here: Building
    there: Building
    alice: SyncPerson
    bob: SyncPerson
    alice_there: SyncPerson
    bob_there: SyncPerson
    room_id: str

    @property
    def room_there(self) -> str:
        return self.alice.room(self.room_id)

    async def say(self, body: str = "hello") -> str:
        return await say(self.alice, self.room_id, body)

    async def look(self, path: str, **query: Any) -> Json:
        return (await self.alice_there.get(path, **query)).ok()

    async def now(self) -> str:
        return await self.alice_there.now()


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["redis", "no redis"])
async def buildings(
    request: pytest.FixtureRequest, database: TestDatabase, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[Building, Building]]:
    """On the same PostgreSQL; a fan-out of their own each."""
    need_redis()
    folder = tmp_path_factory.mktemp("two")
    async with AsyncExitStack() as stack:
        server = stack.enter_context(RedisServer(folder / "redis"))
        redis: RedisSettings = place(server).settings(timeout_ms=1_000)
        here, there = [
            await stack.enter_async_context(
                open_building(
                    database,
                    folder / name,
                    redis=redis,
                    kafka=KafkaSettings(),
                    presence={"enabled": False},
                )
            )
            for name in ("here", "there")
        ]
        worker = search_worker(here.platform, here.rooms)
        await worker.start()
        stack.push_async_callback(worker.stop)
        if request.param == "no redis":
            server.kill()
        yield here, there


@pytest_asyncio.fixture(loop_scope="module")
async def two(buildings: tuple[Building, Building]) -> Two:
    here, there = buildings
    number = next(_numbers)
    alice, bob = [await here.person(f"{name}{number}") for name in ("alice", "bob")]
    room_id = await alice.create_room(preset="public_chat")
    await bob.join(room_id)
    alice_there, bob_there = (person.at(there.replicas[0]) for person in (alice, bob))
    await alice_there.sync()
    return Two(here, there, alice, bob, alice_there, bob_there, room_id)


Story = Callable[[Two], Awaitable[None]]


async def sync(two: Two) -> None:
    since = await two.now()
    sent = await two.say()
    answer = await two.alice_there.sync(since)
    assert [event["event_id"] for event in _timeline(answer, two.room_id)] == [sent]
    path = f"{V3}/user/{seg(two.alice.user_id)}/account_data/org.example"
    (await two.alice.put(path, {"a": sent})).ok()
    answer = await two.alice_there.sync(answer["next_batch"])
    assert answer["account_data"]["events"] == [{"type": "org.example", "content": {"a": sent}}]


def _timeline(answer: Json, room_id: str) -> list[Json]:
    events: list[Json] = answer["rooms"]["join"][room_id]["timeline"]["events"]
    return events


async def sync_prev_batch(two: Two) -> None:
    """From a gap on backwards: what was taken away meanwhile is not shown any more."""
    since = await two.now()
    first, second, _ = [await two.say(str(number)) for number in range(3)]
    answer = await two.alice_there.sync(since, filter={"room": {"timeline": {"limit": 1}}})
    before = answer["rooms"]["join"][two.room_id]["timeline"]["prev_batch"]
    await redact(two.alice, two.room_id, first)
    page = await two.look(f"{two.room_there}/messages", dir="b", limit=2, **{"from": before})
    assert [(event["event_id"], event["content"].get("body")) for event in page["chunk"]] == [
        (second, "1"),
        (first, None),
    ]


async def sliding(two: Two) -> None:
    config = {"required_state": {}, "timeline_limit": 1, "range": [0, 9]}
    body = {"lists": {"all": config}}
    pos = (await two.alice_there.post(STABLE, body)).ok()["pos"]
    sent = await two.say()
    answer = (await two.alice_there.post(STABLE, {**body, "pos": pos})).ok()
    assert ids({"chunk": answer["rooms"][two.room_id]["timeline"]}) == [sent]


async def sliding_unstable(two: Two) -> None:
    body = {"lists": {"all": {"required_state": [], "timeline_limit": 1, "ranges": [[0, 9]]}}}
    pos = (await two.alice_there.post(UNSTABLE, body)).ok()["pos"]
    sent = await two.say()
    answer = (await two.alice_there.post(f"{UNSTABLE}?pos={pos}", body)).ok()
    assert ids({"chunk": answer["rooms"][two.room_id]["timeline"]}) == [sent]


async def get_events(two: Two) -> None:
    end = (await two.look(f"{V3}/events", timeout=0))["end"]
    sent = await two.say()
    assert ids(await two.look(f"{V3}/events", timeout=0, **{"from": end})) == [sent]


async def peek_events(two: Two) -> None:
    """Somebody else's room; its reader has written the thing before that makes it readable."""
    world = {"history_visibility": "world_readable"}
    await two.alice.set_state(two.room_id, "m.room.history_visibility", world)
    (await two.bob.post(f"{two.bob.room(two.room_id)}/leave")).ok()
    query: Json = {"room_id": two.room_id, "timeout": 0}
    end = (await two.alice_there.get(f"{V3}/events", **query)).ok()["end"]
    sent = await two.say()
    for person in (two.alice_there, two.bob_there):
        if person is two.bob_there:
            assert await two.there.replicas[0].reach_heads()
        answer = (await person.get(f"{V3}/events", **query, **{"from": end})).ok()
        assert ids(answer) == [sent]


async def initial_sync(two: Two) -> None:
    await two.look(f"{V3}/initialSync")
    sent = await two.say()
    answer = await two.look(f"{V3}/initialSync", limit=1)
    [room] = answer["rooms"]
    assert ids(room["messages"]) == [sent]
    more = await two.say("more")
    assert ids(await two.look(f"{V3}/events", timeout=0, **{"from": answer["end"]})) == [more]


async def room_initial_sync(two: Two) -> None:
    path = f"{two.room_there}/initialSync"
    await two.look(path)
    sent = await two.say()
    messages = (await two.look(path))["messages"]
    assert ids(messages)[-1] == sent
    more = await two.say("more")
    page = await two.look(f"{two.room_there}/messages", dir="f", **{"from": messages["end"]})
    assert ids(page) == [more]


async def messages(two: Two) -> None:
    path = f"{two.room_there}/messages"
    start = await two.now()
    first = await two.say()
    page = await two.look(path, dir="f", **{"from": start})
    assert ids(page) == [first]
    # Who has come to the end goes on from there.
    second, upto, third = await two.say("2"), await two.now(), await two.say("3")
    assert ids(await two.look(path, dir="f", to=upto, **{"from": start})) == [first, second]
    assert ids(await two.look(path, dir="b", to=start)) == [third, second, first]


async def context(two: Two) -> None:
    sent = await two.say()
    path = f"{two.room_there}/context/{seg(sent)}"
    around = await two.look(path)
    assert around["events_after"] == []
    after = await two.say("after")
    page = await two.look(f"{two.room_there}/messages", dir="f", **{"from": around["end"]})
    assert ids(page) == [after]
    assert ids({"chunk": (await two.look(path))["events_after"]}) == [after]


async def members_at(two: Two) -> None:
    path = f"{two.room_there}/members"

    async def joined(**query: Any) -> set[str]:
        answer = await two.look(path, membership="join", **query)
        return {event["state_key"] for event in answer["chunk"]}

    before, both = await two.now(), {two.alice.user_id, two.bob.user_id}
    assert await joined(at=before) == await joined() == both
    assert await two.alice.act(two.room_id, "kick", two.bob.user_id) == 200
    assert await joined() == {two.alice.user_id}
    assert await joined(at=await two.now()) == {two.alice.user_id}
    assert await joined(at=before) == both


async def relating(two: Two, *types: str) -> None:
    parent = await two.say()
    old = [await react(two.alice, two.room_id, parent, key) for key in "abc"]

    async def page(**query: Any) -> Json:
        return (await relations(two.alice_there, two.room_id, parent, *types, **query)).ok()

    first = await page(limit=1)
    assert ids(first) == [old[2]]
    await redact(two.alice, two.room_id, old[1])
    assert ids(await page(**{"from": first["next_batch"]})) == [old[0]]
    start = await two.now()
    new = await react(two.alice, two.room_id, parent, "d")
    assert ids(await page(dir="f", **{"from": start})) == [new]
    assert ids(await page(to=start)) == [new]


async def thread_roots(two: Two) -> None:
    roots = [await two.say(str(number)) for number in range(3)]
    for root in roots:
        await reply_in_thread(two.alice, two.room_id, root)
    first = (await threads(two.alice_there, two.room_id, limit=1)).ok()
    assert ids(first) == [roots[2]]
    await redact(two.alice, two.room_id, roots[1])
    rest = (await threads(two.alice_there, two.room_id, **{"from": first["next_batch"]})).ok()
    shown = {event["event_id"]: event["content"].get("body") for event in rest["chunk"]}
    assert shown.get(roots[0]) == "0" and shown.get(roots[1]) is None
    await reply_in_thread(two.alice, two.room_id, roots[0])
    assert ids((await threads(two.alice_there, two.room_id)).ok())[0] == roots[0]


async def search(two: Two) -> None:
    sent = [await two.say(f"needle {number}") for number in range(3)]

    async def found(next_batch: str | None = None) -> Json:
        criteria = {"search_term": "needle", "order_by": "recent", "filter": {"limit": 1}}
        criteria |= {"event_context": {"before_limit": 0, "after_limit": 1}}
        body = {"search_categories": {"room_events": criteria}}
        answer = (await two.alice_there.post(f"{V3}/search", body, next_batch=next_batch)).ok()
        page: Json = answer["search_categories"]["room_events"]
        return page

    page = await found()
    assert _found(page) == [sent[2]]
    around = page["results"][0]["context"]
    await redact(two.alice, two.room_id, sent[1])
    assert _found(await found(page["next_batch"])) == [sent[0]]
    new = await two.say("one more needle")
    assert _found(await found()) == [new]
    after = await two.look(f"{two.room_there}/messages", dir="f", **{"from": around["end"]})
    assert ids(after)[-1] == new


def _found(page: Json) -> list[str]:
    return [result["result"]["event_id"] for result in page["results"]]


async def hierarchy(two: Two) -> None:
    root, first, second, third = [
        await two.alice.create_room(
            preset="public_chat", creation_content={"type": "m.space"} if number == 0 else {}
        )
        for number in range(4)
    ]
    for child in (first, second):
        await two.alice.set_state(root, "m.space.child", {"via": [SERVER]}, child)
    path = f"/_matrix/client/v1/rooms/{seg(root)}/hierarchy"
    page = await two.look(path, limit=2)
    assert _ids_of_rooms(page["rooms"]) == [root, first]
    await two.alice.set_state(root, "m.space.child", {}, second)
    await two.alice.set_state(root, "m.space.child", {"via": [SERVER]}, third)
    rest = await two.look(path, limit=2, **{"from": page["next_batch"]})
    assert _ids_of_rooms(rest["rooms"]) == [third]


def _ids_of_rooms(rooms: list[Json]) -> list[str]:
    return [room["room_id"] for room in rooms]


async def public_rooms(two: Two, *, filtered: bool) -> None:
    """One with two members comes before one with one: what is published meanwhile is on the next page."""
    name = f"Market {two.room_id}"
    await two.alice.set_state(two.room_id, "m.room.name", {"name": name})
    listing = f"{V3}/directory/list/room/{{}}"
    (await two.alice.put(listing.format(seg(two.room_id)), {"visibility": "public"})).ok()

    async def page(since: str | None = None) -> Json:
        if not filtered:
            return await two.look(f"{V3}/publicRooms", since=since, limit=1)
        more = {} if since is None else {"since": since}
        body = {"limit": 1, "filter": {"generic_search_term": name}, **more}
        return (await two.alice_there.post(f"{V3}/publicRooms", body)).ok()

    other = await two.alice.create_room(preset="public_chat", name=f"{name} too")
    (await two.alice.put(listing.format(seg(other)), {"visibility": "public"})).ok()
    seen: list[str] = []
    found = await page()
    while (seen := seen + _ids_of_rooms(found["chunk"])) and two.room_id not in seen:
        found = await page(found["next_batch"])
    (await two.alice.put(listing.format(seg(other)), {"visibility": "private"})).ok()
    new = await two.alice.create_room(preset="public_chat", name=f"{name} as well")
    (await two.alice.put(listing.format(seg(new)), {"visibility": "public"})).ok()
    while new not in seen:
        found = await page(found["next_batch"])
        seen += _ids_of_rooms(found["chunk"])
    assert other not in seen and len(seen) == len(set(seen))
    for room_id in (two.room_id, new):
        (await two.alice.put(listing.format(seg(room_id)), {"visibility": "private"})).ok()


async def rooms_of_both(two: Two) -> None:
    rooms = [two.room_id]
    for _ in range(2):
        rooms.append(await two.alice.create_room(preset="public_chat"))
        await two.bob.join(rooms[-1])
    rooms.sort()
    path, other = "/_matrix/client/v1/mutual_rooms", two.bob.user_id
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mutual_rooms, "PAGE", 1)
        first = await two.look(path, user_id=other)
    assert first["joined"] == rooms[:1]
    assert await two.alice.act(rooms[1], "leave") == 200
    rest = await two.look(path, user_id=other, **{"from": first["next_batch"]})
    assert (rest["joined"], rest["count"]) == (rooms[2:], 2)


async def notifications(two: Two) -> None:
    sent = [await two.say(str(number)) for number in range(3)]

    async def page(**query: Any) -> Json:
        return (await two.bob_there.get(f"{V3}/notifications", **query)).ok()

    first = await page(limit=1)
    assert [(each["event"]["event_id"], each["read"]) for each in first["notifications"]] == [
        (sent[2], False)
    ]
    (await two.bob.post(f"{two.bob.room(two.room_id)}/receipt/m.read/{seg(sent[0])}")).ok()
    rest = await page(**{"from": first["next_token"]})
    assert [(each["event"]["event_id"], each["read"]) for each in rest["notifications"]] == [
        (sent[1], False),
        (sent[0], True),
    ]


STORIES: dict[str, Story] = {
    "sync": sync,
    "sync, its prev_batch": sync_prev_batch,
    "sliding sync": sliding,
    "sliding sync, unstable": sliding_unstable,
    "getEvents": get_events,
    "peekEvents": peek_events,
    "initialSync": initial_sync,
    "roomInitialSync": room_initial_sync,
    "getRoomEvents": messages,
    "getEventContext": context,
    "getMembersByRoom": members_at,
    "getRelatingEvents": relating,
    "getRelatingEventsWithRelType": lambda two: relating(two, "m.annotation"),
    "getRelatingEventsWithRelTypeAndEventType": lambda two: relating(two, "m.annotation", "m.reaction"),
    "getThreadRoots": thread_roots,
    "search": search,
    "getSpaceHierarchy": hierarchy,
    "getPublicRooms": lambda two: public_rooms(two, filtered=False),
    "queryPublicRooms": lambda two: public_rooms(two, filtered=True),
    "getMutualRooms": rooms_of_both,
    "getNotifications": notifications,
}
"""By operation."""


@pytest.mark.parametrize("operation", STORIES)
async def test_what_was_written_here_is_read_there(two: Two, operation: str) -> None:
    await STORIES[operation](two)


TOKENS = {"since", "from", "to", "at", "next_batch", "prev_batch", "next_token", "start", "end"}

LATER = {"getKeysChanges"}
"""What is not built yet."""


async def test_no_operation_with_a_token_is_without_a_story() -> None:
    known = spec.find()
    if known is None:
        pytest.skip(f"the specification is not in {spec.folder()}")
    with_tokens = {
        one.id
        for one in known.operations.values()
        if TOKENS & (one.query | _names(one.body) | _names(one.answers.get(200)))
    }
    assert with_tokens - STORIES.keys() == LATER


def _names(schema: Any) -> set[str]:
    """The properties of a schema, at any depth."""
    if isinstance(schema, list):
        return set().union(*map(_names, schema))
    if not isinstance(schema, dict):
        return set()
    own = schema.get("properties")
    return (set(own) if isinstance(own, dict) else set()).union(*map(_names, schema.values()))
