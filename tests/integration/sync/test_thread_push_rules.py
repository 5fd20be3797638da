"""Where thread subscriptions decide what notifies: ``push.thread_subscriptions``.

MSC4306, "New Push Rules".
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from plexus.users import Users

from tests.integration.client_api.relating import relates, reply_in_thread, say
from tests.integration.client_api.test_thread_subscriptions import shared_room, subscribe, unsubscribe
from tests.integration.sync.building import Building, SyncPerson, open_building
from tests.integration.sync.test_unread import BY_THREAD, by_thread
from tests.support.house import V3
from tests.support.http import Json, seg
from tests.support.postgres import TestDatabase

pytestmark = pytest.mark.asyncio(loop_scope="module")

PREFIX = ".io.element.msc4306.rule"
RULES = f"{V3}/pushrules/global"
MUTED: Json = {"actions": []}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def building(
    database: TestDatabase, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Building]:
    settings: Json = {"push": {"thread_subscriptions": True}, "presence": {"enabled": False}}
    async with open_building(database, tmp_path_factory.mktemp("threads"), **settings) as opened:
        yield opened


async def unread(person: SyncPerson, room_id: str) -> dict[str, tuple[int, int]]:
    """(notifications, highlights) by thread."""
    await person.hear()
    return by_thread(await person.sync(filter=BY_THREAD), room_id)


async def mention(person: SyncPerson, room_id: str, root: str, other: SyncPerson) -> str:
    mentions = {"m.mentions": {"user_ids": [other.user_id]}}
    return await say(person, room_id, "you", **mentions, **relates("m.thread", root))


async def test_only_subscribed_threads_notify(alice: SyncPerson, bob: SyncPerson, carol: SyncPerson) -> None:
    """ "Messages in unsubscribed threads should not count as activity at all", in subscribed ones they always
    do; "if the user is mentioned, this should generate a notification as usual".
    """
    room_id = await shared_room(alice, bob, carol)
    root = await say(alice, room_id, "root")
    (await subscribe(bob, room_id, root)).ok()
    for n in range(2):
        await reply_in_thread(alice, room_id, root, f"reply {n}")
    assert await unread(bob, room_id) == {"main": (1, 0), root: (2, 0)}
    assert await unread(carol, room_id) == {"main": (1, 0)}
    await mention(alice, room_id, root, carol)
    assert await unread(bob, room_id) == {"main": (1, 0), root: (3, 0)}
    assert await unread(carol, room_id) == {"main": (1, 0), root: (1, 1)}
    (await unsubscribe(bob, room_id, root)).ok()
    await reply_in_thread(alice, room_id, root, "more")
    assert await unread(bob, room_id) == {"main": (1, 0), root: (3, 0)}


async def test_a_muted_room_does_not_mute_a_subscribed_thread(alice: SyncPerson, bob: SyncPerson) -> None:
    """ "The room can be muted, but if I am subscribed to a thread, I still want to get a notification.\""""
    room_id = await shared_room(alice, bob)
    (await bob.put(f"{RULES}/room/{seg(room_id)}", MUTED)).ok()
    root = await say(alice, room_id, "root")
    (await subscribe(bob, room_id, root)).ok()
    await reply_in_thread(alice, room_id, root)
    assert await unread(bob, room_id) == {"main": (0, 0), root: (1, 0)}
    [told] = (await bob.get(f"{V3}/notifications")).ok()["notifications"]
    assert told["actions"] == ["notify", {"set_tweak": "sound", "value": "default"}]


async def test_clients_see_these_rules_and_make_none_of_their_kind(
    alice: SyncPerson, bob: SyncPerson
) -> None:
    """ "The org.matrix.msc4306 feature should be advertised"; "clients MUST NOT be able to create custom
    rules with this push rule kind".
    """
    versions = (await bob.get("/_matrix/client/versions")).ok()
    assert versions["unstable_features"]["org.matrix.msc4306"] is True
    ruleset = (await bob.get(f"{RULES}/")).ok()
    assert [rule["rule_id"] for rule in ruleset["postcontent"]] == [
        f"{PREFIX}.unsubscribed_thread",
        f"{PREFIX}.subscribed_thread",
    ]
    told = (await bob.sync())["account_data"]["events"]
    [of_sync] = [event["content"]["global"] for event in told if event["type"] == "m.push_rules"]
    assert of_sync == ruleset
    body = {"actions": ["notify"], "conditions": []}
    refused = await bob.put(f"{RULES}/postcontent/mine", body)
    assert (refused.status, refused.json["errcode"]) == (400, "M_INVALID_PARAM")

    room_id = await shared_room(alice, bob)
    root = await say(alice, room_id, "root")
    rule = f"{RULES}/postcontent/{PREFIX}.unsubscribed_thread"
    (await bob.put(f"{rule}/enabled", {"enabled": False})).ok()
    assert (await bob.get(rule)).ok()["enabled"] is False
    await reply_in_thread(alice, room_id, root)
    assert await unread(bob, room_id) == {"main": (1, 0), root: (1, 0)}


async def test_a_subscription_by_another_process_counts(
    building: Building, alice: SyncPerson, bob: SyncPerson
) -> None:
    """Who is subscribed is kept in memory where messages are judged: the fact of a change is heard."""
    room_id = await shared_room(alice, bob)
    root = await say(alice, room_id, "root")
    await reply_in_thread(alice, room_id, root, "before")
    elsewhere = Users(building.platform)
    await elsewhere.start()
    try:
        assert await elsewhere.subscribe_to_thread(bob.user_id, room_id, root, None)
        # Who asks for tokens no more looks at the heads once in five seconds only.
        async with asyncio.timeout(15):
            while not (await building.users.member_rules.subscribers(room_id, [root]))[root]:
                await asyncio.sleep(0.01)
    finally:
        await elsewhere.stop()
    await reply_in_thread(alice, room_id, root, "after")
    assert await unread(bob, room_id) == {"main": (1, 0), root: (1, 0)}
