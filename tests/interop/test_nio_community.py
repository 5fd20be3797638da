"""The life of a community through matrix-nio: its space and public room, talk, moderation, and an upgrade."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import quote

import nio
import pytest
from nio.api import RelationshipType

from tests.interop.test_nio import PASSWORD, T, expect, raw
from tests.support.cluster import ClusterServer
from tests.support.server import PlexusServer

Three = tuple[nio.AsyncClient, nio.AsyncClient, nio.AsyncClient]
V3 = "/_matrix/client/v3"


@pytest.fixture
async def people(plexus: PlexusServer | ClusterServer) -> AsyncIterator[Three]:
    """Three accounts, logged in."""
    suffix = secrets.token_hex(4)
    made: list[nio.AsyncClient] = []
    for name in ("alice", "bob", "carol"):
        client = nio.AsyncClient(plexus.base_url, f"{name}-{suffix}", config=nio.AsyncClientConfig())
        expect(nio.RegisterResponse, await client.register(client.user, PASSWORD, "nio"))
        made.append(client)
    yield made[0], made[1], made[2]
    for client in made:
        await client.close()


async def until(ask: Callable[[], Awaitable[T | None]]) -> T:
    """What ``ask`` answers when it does: nobody is promised to see at once what another has done."""
    for _ in range(100):
        answer = await ask()
        if answer is not None:
            return answer
        await asyncio.sleep(0.1)
    raise AssertionError("waited 10 s in vain")


async def say(client: nio.AsyncClient, room_id: str, body: str, **more: Any) -> str:
    content = {"msgtype": "m.text", "body": body, **more}
    sent = expect(nio.RoomSendResponse, await client.room_send(room_id, "m.room.message", content))
    return str(sent.event_id)


async def put(client: nio.AsyncClient, room_id: str, kind: str, content: Any, key: str = "") -> None:
    expect(nio.RoomPutStateResponse, await client.room_put_state(room_id, kind, content, key))


async def event(client: nio.AsyncClient, room_id: str, event_id: str) -> dict[str, Any]:
    """The event with what is told of those that relate to it."""
    found = expect(nio.RoomGetEventResponse, await client.room_get_event(room_id, event_id))
    source: dict[str, Any] = found.event.source
    return source


async def counts(client: nio.AsyncClient, room_id: str, thread: str) -> tuple[int, int]:
    """Unread notifications of the main timeline and of a thread."""
    room_filter = {"room": {"timeline": {"limit": 1, "unread_thread_notifications": True}}}
    status, answer = await raw(client, "GET", f"{V3}/sync?timeout=0&filter={quote(json.dumps(room_filter))}")
    assert status == 200
    room = answer["rooms"]["join"][room_id]
    threads = room.get("unread_thread_notifications", {})
    return (
        room["unread_notifications"].get("notification_count", 0),
        threads.get(thread, {}).get("notification_count", 0),
    )


async def test_a_community(people: Three) -> None:
    alice, bob, carol = people
    suffix = alice.user.partition("-")[2]
    server = alice.user_id.partition(":")[2]
    alias = f"#garden-{suffix}:{server}"

    # a space with a public room, which others find in the directory and join by its alias
    made = await alice.room_create(name="Gardeners", space=True, visibility=nio.RoomVisibility.public)
    space = expect(nio.RoomCreateResponse, made).room_id
    made = await alice.room_create(
        name=f"Garden {suffix}",
        alias=f"garden-{suffix}",
        visibility=nio.RoomVisibility.public,
        preset=nio.RoomPreset.public_chat,
        room_version="10",
    )
    room_id = expect(nio.RoomCreateResponse, made).room_id
    await put(alice, space, "m.space.child", {"via": [server], "suggested": True}, room_id)
    await put(alice, room_id, "m.space.parent", {"via": [server], "canonical": True}, space)
    status, found = await raw(
        bob, "POST", f"{V3}/publicRooms", {"filter": {"generic_search_term": f"Garden {suffix}"}}
    )
    assert (status, [room["room_id"] for room in found["chunk"]]) == (200, [room_id])
    led = expect(nio.RoomResolveAliasResponse, await bob.room_resolve_alias(alias))
    assert led.room_id == room_id
    for client in (bob, carol):
        assert expect(nio.JoinResponse, await client.join(alias)).room_id == room_id
    tree = expect(nio.SpaceGetHierarchyResponse, await alice.space_get_hierarchy(space))
    assert [(room["room_id"], room["num_joined_members"]) for room in tree.rooms] == [
        (space, 1),
        (room_id, 3),
    ]

    # an edit, reactions, a thread; all told with the event
    first = await say(alice, room_id, "The tomatoes are gren")
    edit = {"m.new_content": {"msgtype": "m.text", "body": "The tomatoes are green"}}
    edited = await say(
        alice,
        room_id,
        "* The tomatoes are green",
        **edit,
        **{"m.relates_to": {"rel_type": "m.replace", "event_id": first}},
    )
    tomato = {"m.relates_to": {"rel_type": "m.annotation", "event_id": first, "key": "🍅"}}
    expect(nio.RoomSendResponse, await bob.room_send(room_id, "m.reaction", tomato))
    refused = expect(nio.RoomSendError, await bob.room_send(room_id, "m.reaction", tomato))
    assert refused.status_code == "M_DUPLICATE_ANNOTATION"
    thread = {"m.relates_to": {"rel_type": "m.thread", "event_id": first}}
    await say(carol, room_id, "Not for long", **thread)

    async def told() -> dict[str, Any] | None:
        relations: dict[str, Any] = (await event(bob, room_id, first))["unsigned"].get("m.relations", {})
        return relations if {"m.replace", "m.thread"} <= relations.keys() else None

    relations = await until(told)
    assert relations["m.replace"]["event_id"] == edited
    assert (relations["m.thread"]["count"], relations["m.thread"]["current_user_participated"]) == (1, False)
    reactions = bob.room_get_event_relations(room_id, first, RelationshipType.annotation, "m.reaction")
    assert [reaction.sender async for reaction in reactions] == [bob.user_id]

    # a thread's notifications stand apart, and are read apart
    async def both_unread() -> tuple[int, int] | None:
        unread = await counts(alice, room_id, first)
        return unread if unread[1] else None

    await say(bob, room_id, "What about the beans?")
    main, in_thread = await until(both_unread)
    assert in_thread == 1
    last = await say(carol, room_id, "Red tomorrow", **thread)
    read = await alice.update_receipt_marker(room_id, last, thread_id=first)
    expect(nio.UpdateReceiptMarkerResponse, read)

    async def thread_read() -> int | None:
        main, in_thread = await counts(alice, room_id, first)
        return main if not in_thread else None

    assert await until(thread_read) >= main > 0
    status, listed = await raw(bob, "GET", f"/_matrix/client/v1/rooms/{quote(room_id)}/threads")
    assert (status, [root["event_id"] for root in listed["chunk"]]) == (200, [first])

    # search
    async def hits() -> list[str] | None:
        body = {"search_categories": {"room_events": {"search_term": "beans"}}}
        status, answer = await raw(carol, "POST", f"{V3}/search", body)
        assert status == 200
        results = answer["search_categories"]["room_events"]["results"]
        return [result["result"]["content"]["body"] for result in results] or None

    assert await until(hits) == ["What about the beans?"]

    # moderation: Bob may, Carol may not
    levels = expect(
        nio.RoomGetStateEventResponse, await alice.room_get_state_event(room_id, "m.room.power_levels")
    ).content
    levels["users"][bob.user_id] = 50
    await put(alice, room_id, "m.room.power_levels", levels)
    spam = await say(carol, room_id, "Buy my seeds")
    assert expect(nio.RoomKickError, await carol.room_kick(room_id, bob.user_id)).status_code == "M_FORBIDDEN"
    expect(nio.RoomRedactResponse, await bob.room_redact(room_id, spam, "spam"))
    assert (await event(carol, room_id, spam))["content"] == {}
    expect(nio.RoomKickResponse, await bob.room_kick(room_id, carol.user_id, "no spam, please"))
    own = f"{V3}/rooms/{quote(room_id)}/state/m.room.member/{quote(carol.user_id)}"
    member = await raw(carol, "GET", own)
    assert (member[1]["membership"], member[1]["reason"]) == ("leave", "no spam, please")
    expect(nio.JoinResponse, await carol.join(room_id))
    expect(nio.RoomBanResponse, await bob.room_ban(room_id, carol.user_id, "again"))
    assert expect(nio.JoinError, await carol.join(room_id)).status_code == "M_FORBIDDEN"
    expect(nio.RoomUnbanResponse, await bob.room_unban(room_id, carol.user_id))
    expect(nio.JoinResponse, await carol.join(room_id))
    demoted = await bob.room_put_state(room_id, "m.room.power_levels", {**levels, "users_default": 100})
    assert expect(nio.RoomPutStateError, demoted).status_code == "M_FORBIDDEN"

    # an upgrade; who follows finds the name, the alias and their own tag
    bobs = f"{V3}/user/{quote(bob.user_id)}/rooms"
    assert (await raw(bob, "PUT", f"{bobs}/{quote(room_id)}/tags/u.plants", {"order": 0.5}))[0] == 200
    status, upgraded = await raw(alice, "POST", f"{V3}/rooms/{quote(room_id)}/upgrade", {"new_version": "12"})
    assert status == 200
    new_room = upgraded["replacement_room"]
    tombstone = await bob.room_get_state_event(room_id, "m.room.tombstone")
    assert expect(nio.RoomGetStateEventResponse, tombstone).content["replacement_room"] == new_room
    for client in (bob, carol):
        expect(nio.JoinResponse, await client.join(alias))
    members = expect(nio.JoinedMembersResponse, await alice.joined_members(new_room))
    assert {each.user_id for each in members.members} == {client.user_id for client in people}
    name = expect(nio.RoomGetStateEventResponse, await carol.room_get_state_event(new_room, "m.room.name"))
    assert name.content == {"name": f"Garden {suffix}"}

    async def tags() -> dict[str, Any] | None:
        return (await raw(bob, "GET", f"{bobs}/{quote(new_room)}/tags"))[1]["tags"] or None

    assert await until(tags) == {"u.plants": {"order": 0.5}}
    silent = await carol.room_send(room_id, "m.room.message", {"msgtype": "m.text", "body": "Hello?"})
    assert expect(nio.RoomSendError, silent).status_code == "M_FORBIDDEN"
    expect(nio.RoomKickResponse, await bob.room_kick(new_room, carol.user_id, "moderators are so here too"))
