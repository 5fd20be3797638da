"""The worker that tells push gateways: a real gateway, and workers that look when they are told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import pytest
import pytest_asyncio
from plexus.client_api.pushing import delivery
from plexus.client_api.pushing.delivery import Delivery
from plexus.client_api.pushing.queueing import push_worker
from plexus.client_api.waiting import Waiting
from plexus.platform.lanes.cursors import LaneWorker

from tests.support.house import V3, House, Person, open_house
from tests.support.http import Json, seg
from tests.support.postgres import TestDatabase
from tests.support.push_gateway import PushGateway, push_gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

_txns = count()
APP = "org.example.app"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(database: TestDatabase, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    settings: dict[str, Any] = {
        "push": {"plain_http": True},
        "outbound": {"allowed_private_ranges": ["127.0.0.0/8"]},
    }
    async with open_house(database, tmp_path_factory.mktemp("pushing"), **settings) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def gateway() -> AsyncIterator[PushGateway]:
    async with push_gateway() as opened:
        yield opened


def new_worker(house: House) -> LaneWorker:
    return push_worker(house.platform, house.rooms, house.users, every=0)


def new_delivery(house: House) -> Delivery:
    waiting = Waiting(house.platform.db, house.platform.clock)
    return Delivery(house.platform, house.rooms, house.users, house.wire.client, waiting)


async def push(house: House) -> None:
    """Everything that workers have to do."""
    worker = new_worker(house)
    while await worker.round():
        pass
    sender = new_delivery(house)
    while await sender.send_due():
        pass


async def due_now(house: House) -> None:
    """The pause after a failure is over."""
    async with house.platform.db.write() as write:
        await write.execute("UPDATE client_api.push SET due_ts = 0")


async def set_pusher(person: Person, gateway: PushGateway, pushkey: str, **data: Any) -> None:
    body = {
        "kind": "http",
        "app_id": APP,
        "pushkey": pushkey,
        "app_display_name": "App",
        "device_display_name": "Phone",
        "lang": "en",
        "data": {"url": gateway.url, **data},
    }
    (await person.post(f"{V3}/pushers/set", body)).ok()


async def send(person: Person, room_id: str, body: str, *mentioned: Person) -> str:
    mentions = {"user_ids": [each.user_id for each in mentioned]} if mentioned else {}
    content = {"msgtype": "m.text", "body": body, "m.mentions": mentions}
    path = f"{person.room(room_id)}/send/m.room.message/p{next(_txns)}"
    event_id: str = (await person.put(path, content)).ok()["event_id"]
    return event_id


async def shared_room(alice: Person, *others: Person, **more: Any) -> str:
    room_id = await alice.create_room(preset="public_chat", **more)
    for other in others:
        await other.join(room_id)
    return room_id


async def test_a_notification_reaches_the_gateway_of_each_pusher(
    house: House, gateway: PushGateway, alice: Person, bob: Person, carol: Person
) -> None:
    room_id = await shared_room(alice, bob, carol, name="Mission Control")
    await set_pusher(bob, gateway, "bobs", brand="x")
    await set_pusher(carol, gateway, "carols", format="event_id_only")
    event_id = await send(alice, room_id, "hello", bob)
    await push(house)
    by_key: dict[str, Json] = {each["devices"][0]["pushkey"]: each for each in gateway.notifications}
    assert set(by_key) == {"bobs", "carols"}
    assert by_key["bobs"] == {
        "event_id": event_id,
        "room_id": room_id,
        "type": "m.room.message",
        "sender": alice.user_id,
        "room_name": "Mission Control",
        "content": {"msgtype": "m.text", "body": "hello", "m.mentions": {"user_ids": [bob.user_id]}},
        "prio": "high",
        "counts": {"unread": 1},
        "devices": [
            {
                "app_id": APP,
                "pushkey": "bobs",
                "data": {"brand": "x"},
                "tweaks": {"sound": "default", "highlight": True},
            }
        ],
    }
    # "event_id_only": nothing of what was said leaves the server.
    assert set(by_key["carols"]) == {"event_id", "room_id", "counts", "prio", "devices"}
    assert by_key["carols"]["devices"][0]["data"] == {"format": "event_id_only"}
    # Once: also by workers that begin anew.
    await push(house)
    assert len(gateway.notifications) == 2


async def test_what_does_not_notify_is_not_pushed(
    house: House, gateway: PushGateway, alice: Person, bob: Person, carol: Person
) -> None:
    room_id = await shared_room(alice, bob, carol)
    await set_pusher(bob, gateway, "bobs-2")
    (await bob.put(f"{V3}/pushrules/global/sender/{seg(carol.user_id)}", {"actions": []})).ok()
    await send(bob, room_id, "his own")
    await send(carol, room_id, "muted")
    redacted = await send(alice, room_id, "redacted")
    (await alice.put(f"{alice.room(room_id)}/redact/{seg(redacted)}/1", {})).ok()
    await push(house)
    assert gateway.notifications == []
    # What was read meanwhile needs no push.
    read = await send(alice, room_id, "read already")
    (await bob.post(f"{bob.room(room_id)}/receipt/m.read/{seg(read)}", {})).ok()
    await push(house)
    assert gateway.notifications == []
    sound = ["notify", {"set_tweak": "sound", "value": "bell"}]
    rule = f"{V3}/pushrules/global/underride/.m.rule.message/actions"
    (await bob.put(rule, {"actions": sound})).ok()
    await send(alice, room_id, "heard")
    await push(house)
    [heard] = gateway.notifications
    assert heard["devices"][0]["tweaks"] == {"sound": "bell"}


async def badges(house: House) -> None:
    """Everything that workers have to do, when the pause before a badge is over."""
    worker = new_worker(house)
    while await worker.round():
        pass
    await due_now(house)
    await push(house)


async def read(person: Person, room_id: str, event_id: str, type: str = "m.read") -> None:
    (await person.post(f"{person.room(room_id)}/receipt/{type}/{seg(event_id)}", {})).ok()


@pytest.mark.parametrize("type", ["m.read", "m.read.private"])
async def test_who_reads_elsewhere_has_another_badge(
    house: House, gateway: PushGateway, alice: Person, bob: Person, type: str
) -> None:
    """Push Gateway API: counts "may be sent along with a notification about an event or by themselves"."""
    room_id = await shared_room(alice, bob)
    await set_pusher(bob, gateway, "bobs", brand="x")
    events = []
    for text in ("one", "two", "three"):
        events.append(await send(alice, room_id, text, bob))
        await push(house)
    assert [each["counts"] for each in gateway.notifications] == [{"unread": n} for n in (1, 2, 3)]
    gateway.notifications.clear()
    await read(bob, room_id, events[1], type)
    await badges(house)
    device = {"app_id": APP, "pushkey": "bobs", "data": {"brand": "x"}}
    assert gateway.notifications == [{"prio": "low", "counts": {"unread": 1}, "devices": [device]}]
    await read(bob, room_id, events[2], type)
    await badges(house)
    assert gateway.notifications[1:] == [{"prio": "low", "counts": {}, "devices": [device]}]
    # There is nothing new in reading on.
    await read(bob, room_id, await alice.send(room_id, "four"), type)
    await badges(house)
    await read(alice, room_id, events[2])
    await badges(house)
    assert "event_id" not in gateway.notifications[-1]
    assert len(gateway.notifications) == 2


async def test_who_answers_elsewhere_has_another_badge(
    house: House, gateway: PushGateway, alice: Person, bob: Person
) -> None:
    rooms = [await shared_room(alice, bob) for _ in range(2)]
    await set_pusher(bob, gateway, "bobs")
    for room_id in rooms:
        await send(alice, room_id, "hello", bob)
    await push(house)
    gateway.notifications.clear()
    await send(bob, rooms[0], "hello yourself", alice)
    await badges(house)
    assert [each["counts"] for each in gateway.notifications] == [{"unread": 1}]


async def test_a_gateway_that_is_away_is_told_the_newest_badge(
    house: House, gateway: PushGateway, alice: Person, bob: Person
) -> None:
    room_id = await shared_room(alice, bob)
    await set_pusher(bob, gateway, "bobs")
    events = [await send(alice, room_id, text, bob) for text in ("one", "two")]
    await push(house)
    gateway.notifications.clear()
    gateway.status = 502
    for event_id in events:
        await read(bob, room_id, event_id)
        await badges(house)
    gateway.status = 200
    await badges(house)
    await badges(house)
    assert [each["counts"] for each in gateway.notifications] == [{}]
    assert await house.count("client_api.push") == 0
    # The pusher is gone, and nobody is told.
    event_id = await send(alice, room_id, "three", bob)
    await push(house)
    gateway.notifications.clear()
    (await bob.post(f"{V3}/pushers/set", {"app_id": APP, "pushkey": "bobs", "kind": None})).ok()
    await read(bob, room_id, event_id)
    await badges(house)
    assert (gateway.notifications, await house.count("client_api.push")) == ([], 0)


async def test_what_is_read_while_a_badge_is_told_is_told_too(
    house: House, gateway: PushGateway, alice: Person, bob: Person
) -> None:
    room_id = await shared_room(alice, bob)
    await set_pusher(bob, gateway, "bobs")
    events = [await send(alice, room_id, text, bob) for text in ("one", "two")]
    await push(house)
    gateway.notifications.clear()
    await read(bob, room_id, events[0])
    worker = new_worker(house)
    while await worker.round():
        pass
    await due_now(house)
    release = gateway.hold()
    telling = asyncio.create_task(new_delivery(house).send_due())
    async with asyncio.timeout(10):
        while not gateway.held:
            await asyncio.sleep(0.01)
    await read(bob, room_id, events[1])
    while await worker.round():
        pass
    release()
    await telling
    await push(house)
    assert [each["counts"] for each in gateway.notifications] == [{"unread": 1}, {}]


async def test_an_invite_is_pushed_to_who_is_invited(
    house: House, gateway: PushGateway, alice: Person, bob: Person
) -> None:
    await set_pusher(bob, gateway, "bobs-3")
    room_id = await alice.create_room(invite=[bob.user_id], name="Come in")
    await push(house)
    [invite] = gateway.notifications
    assert (invite["room_id"], invite["type"], invite["user_is_target"]) == (room_id, "m.room.member", True)
    assert "counts" in invite and invite["counts"] == {}


async def test_a_gateway_that_is_away_is_asked_again(
    house: House, gateway: PushGateway, alice: Person, bob: Person, carol: Person
) -> None:
    room_id = await shared_room(alice, bob, carol)
    await set_pusher(bob, gateway, "bobs-4")
    gateway.status = 502
    sent = [await send(alice, room_id, str(n)) for n in range(3)]
    await push(house)
    # It was asked for the first, and the others wait with it.
    assert gateway.asked == 1
    await push(house)
    assert gateway.asked == 1
    gateway.status = 200
    await due_now(house)
    await push(house)
    assert sorted(each["event_id"] for each in gateway.notifications) == sorted(sent)


async def test_a_rejected_pushkey_takes_the_pusher_away(
    house: House, gateway: PushGateway, alice: Person, bob: Person, carol: Person
) -> None:
    room_id = await shared_room(alice, bob, carol)
    await set_pusher(bob, gateway, "expired")
    await set_pusher(bob, gateway, "good")
    gateway.rejects = {"expired"}
    for n in range(3):
        await send(alice, room_id, str(n))
    await push(house)
    keys = [each["devices"][0]["pushkey"] for each in gateway.notifications]
    assert (keys.count("expired"), keys.count("good")) == (1, 3)
    assert [pusher.pushkey for pusher in await house.users.pushers(bob.user_id)] == ["good"]


async def test_who_logs_out_is_not_pushed_to(
    house: House, gateway: PushGateway, alice: Person, bob: Person, carol: Person
) -> None:
    room_id = await shared_room(alice, bob, carol)
    await set_pusher(bob, gateway, "bobs-5")
    await send(alice, room_id, "queued")
    worker = new_worker(house)
    while await worker.round():
        pass
    (await bob.post(f"{V3}/logout")).ok()
    await push(house)
    assert gateway.notifications == []


async def test_what_waits_too_long_is_dropped(
    house: House, gateway: PushGateway, alice: Person, bob: Person, carol: Person
) -> None:
    room_id = await shared_room(alice, bob, carol)
    await set_pusher(bob, gateway, "bobs-6")
    gateway.status = 500
    await send(alice, room_id, "old news")
    await push(house)
    gateway.status = 200
    async with house.platform.db.write() as write:
        await write.execute(
            "UPDATE client_api.push SET due_ts = 0, created_ts = created_ts - %s", (delivery.KEPT_MS + 1,)
        )
    await push(house)
    assert gateway.notifications == []
    assert await house.count("client_api.push") == 0


async def test_two_workers_send_each_once(
    house: House, gateway: PushGateway, alice: Person, bob: Person, carol: Person
) -> None:
    room_id = await shared_room(alice, bob, carol)
    for key in range(5):
        await set_pusher(bob, gateway, f"key{key}")
    sent = [await send(alice, room_id, str(n)) for n in range(4)]
    worker = new_worker(house)
    while await worker.round():
        pass
    senders = [new_delivery(house) for _ in range(3)]
    await asyncio.gather(*(sender.send_due() for sender in senders))
    told = [(each["event_id"], each["devices"][0]["pushkey"]) for each in gateway.notifications]
    assert sorted(told) == sorted((event_id, f"key{key}") for event_id in sent for key in range(5))


async def test_private_addresses_are_not_asked(
    database: TestDatabase, tmp_path_factory: pytest.TempPathFactory, gateway: PushGateway
) -> None:
    folder = tmp_path_factory.mktemp("guarded")
    async with open_house(database, folder, push={"plain_http": True}) as house:
        dave, eve = await house.person("dave-pushing"), await house.person("eve-pushing")
        room_id = await shared_room(dave, eve)
        await set_pusher(eve, gateway, "eves")
        await send(dave, room_id, "hello")
        await push(house)
        assert gateway.asked == 0
        # Nor when it is tried again.
        await due_now(house)
        await push(house)
        assert gateway.asked == 0
        await house.users.deactivate(eve.user_id)


async def test_the_running_worker(house: House, gateway: PushGateway, alice: Person, bob: Person) -> None:
    """Started as in production, it tells by itself."""
    room_id = await shared_room(alice, bob)
    await set_pusher(bob, gateway, "bobs-7")
    parts = push_worker(house.platform, house.rooms, house.users), new_delivery(house)
    for part in parts:
        await part.start()
    try:
        event_id = await send(alice, room_id, "by itself")
        async with asyncio.timeout(10):
            while not gateway.notifications:
                await asyncio.sleep(0.05)
    finally:
        await parts[0].stop()
        await parts[1].drain()
    assert gateway.notifications[-1]["event_id"] == event_id
