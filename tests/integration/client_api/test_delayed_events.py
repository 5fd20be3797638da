"""Events that are sent later. MSC4140, "Cancellable delayed events", as its newest text says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from plexus.client_api.delayed_events import queries
from plexus.client_api.delayed_events import timers as module
from plexus.client_api.delayed_events.timers import Timers
from plexus.client_api.waiting import Waiting
from plexus.protocol.errors import Unavailable
from plexus.rooms import Written

from tests.support.house import V3, House, Person, open_house
from tests.support.http import seg
from tests.support.postgres import TestDatabase

pytestmark = pytest.mark.asyncio(loop_scope="module")

PREFIX = "/_matrix/client/unstable/org.matrix.msc4140"
LIST = f"{PREFIX}/delayed_events"
LATER = 3_600_000


@pytest_asyncio.fixture(scope="module", loop_scope="module", autouse=True)
async def timers(house: House) -> AsyncIterator[Timers]:
    """The timers of one worker."""
    async for made in run_timers(house):
        yield made


def new_timers(house: House) -> Timers:
    """Of another worker."""
    return Timers(house.client_api(), Waiting(house.platform.db, house.platform.clock))


async def run_timers(house: House) -> AsyncIterator[Timers]:
    made = new_timers(house)
    await made.start()
    yield made
    await made.drain()


async def schedule(
    person: Person,
    room_id: str,
    delay_ms: int,
    body: str,
    state_key: str | None = None,
    txn: str | None = None,
) -> str:
    """A message, or with a state key a topic-like state event."""
    type_ = "m.room.message" if state_key is None else "org.example.state"
    request: dict[str, Any] = {"delay_ms": delay_ms, "content": {"msgtype": "m.text", "body": body}}
    if state_key is not None:
        request["state_key"] = state_key
    path = f"{PREFIX}/rooms/{seg(room_id)}/delayed_event/{type_}/{txn or seg(body)}"
    delay_id: str = (await person.put(path, request)).ok()["delay_id"]
    return delay_id


async def act(person: Person, delay_id: str, action: str) -> Any:
    return await person.post(f"{LIST}/{delay_id}/{action}")


async def bodies(person: Person, room_id: str) -> list[str]:
    chunk = (await person.get(f"{person.room(room_id)}/messages", dir="f", limit=100)).ok()["chunk"]
    return [event["content"]["body"] for event in chunk if "body" in event["content"]]


async def finalised(person: Person, delay_id: str, within: float = 10.0) -> dict[str, Any]:
    """The event, once it is finalised."""
    until = time.monotonic() + within
    while True:
        found: dict[str, Any] = (await person.get(f"{LIST}/{delay_id}")).ok()
        if "finalised_ts" in found:
            return found
        assert time.monotonic() < until, "it was not finalised in time"
        await asyncio.sleep(0.02)


async def test_it_is_sent_when_its_time_has_come(alice: Person, bob: Person) -> None:
    room_id = await alice.create_room(preset="public_chat")
    await bob.join(room_id)
    delay_id = await schedule(alice, room_id, 1500, "tea is ready")
    [waiting] = (await alice.get(LIST)).ok()["delayed_events"]
    scheduled_at = waiting.pop("scheduled_at")
    assert waiting == {
        "delay_id": delay_id,
        "room_id": room_id,
        "type": "m.room.message",
        "delay_ms": 1500,
        "content": {"msgtype": "m.text", "body": "tea is ready"},
    }
    assert await bodies(bob, room_id) == []
    found = await finalised(alice, delay_id)
    # Never too early, and late by no more than the sending takes.
    assert scheduled_at + 1500 <= found["finalised_ts"] < scheduled_at + 2500
    assert found["scheduled_at"] == scheduled_at and "error" not in found
    assert await bodies(bob, room_id) == ["tea is ready"]
    assert (await alice.get(LIST)).ok() == {"delayed_events": []}
    # The sender is told on every device which one it was, and nobody else.
    path = f"/event/{seg(found['event_id'])}"
    unsigned = (await alice.get(alice.room(room_id) + path)).ok()["unsigned"]
    assert unsigned["org.matrix.msc4140.delay_id"] == delay_id and "transaction_id" not in unsigned
    assert "org.matrix.msc4140.delay_id" not in (await bob.get(bob.room(room_id) + path)).ok()["unsigned"]


async def test_a_state_event_is_sent_over_a_newer_one(alice: Person) -> None:
    room_id = await alice.create_room()
    delay_id = await schedule(alice, room_id, 300, "gone", state_key="me")
    path = f"{alice.room(room_id)}/state/org.example.state/me"
    (await alice.put(path, {"body": "here"})).ok()
    found = await finalised(alice, delay_id)
    assert found["state_key"] == "me"
    assert (await alice.get(path)).ok()["body"] == "gone"


async def test_the_same_transaction_schedules_once(house: House, alice: Person) -> None:
    room_id = await alice.create_room()
    made = await asyncio.gather(*(schedule(alice, room_id, LATER, "once", txn="t") for _ in range(4)))
    assert len(set(made)) == 1
    other = await house.device(alice)
    assert await schedule(other, room_id, LATER, "once", txn="t") not in made
    # Also after it has been sent.
    (await act(alice, made[0], "send")).ok()
    assert await schedule(alice, room_id, LATER, "once", txn="t") == made[0]
    assert await bodies(alice, room_id) == ["once"]


async def test_send_and_state_with_a_delay(alice: Person) -> None:
    room_id = await alice.create_room()
    unrecorded = Person(alice.app, alice.token, recorded=False)
    later = {"org.matrix.msc4140.delay": "400"}
    message = f"{alice.room(room_id)}/send/m.room.message/t"
    content = {"msgtype": "m.text", "body": "by send"}
    first = (await unrecorded.request("PUT", message, content, query=later)).ok()
    assert (await unrecorded.request("PUT", message, content, query=later)).ok() == first
    state = f"{alice.room(room_id)}/state/org.example.state"
    second = (await unrecorded.request("PUT", state, {"body": "by state"}, query=later)).ok()
    assert set(first) == set(second) == {"delay_id"}
    for delay_id in (first["delay_id"], second["delay_id"]):
        await finalised(alice, delay_id)
    assert sorted(await bodies(alice, room_id)) == ["by send", "by state"]
    for delay in ("", "x", "-1", "1.5", "1" * 30, "0"):
        answer = await unrecorded.request("PUT", state, {}, query={"org.matrix.msc4140.delay": delay})
        assert answer.error() == (400, "M_INVALID_PARAM")


async def test_cancelled_it_is_never_sent(alice: Person) -> None:
    room_id = await alice.create_room()
    delay_id = await schedule(alice, room_id, 1_500, "never")
    for _ in range(2):
        assert (await act(alice, delay_id, "cancel")).ok() == {}
    found = (await alice.get(f"{LIST}/{delay_id}")).ok()
    assert "finalised_ts" in found and "event_id" not in found and "error" not in found
    for action in ("send", "restart"):
        assert (await act(alice, delay_id, action)).error() == (409, "M_UNKNOWN")
    await asyncio.sleep(2)
    assert await bodies(alice, room_id) == []


async def test_restarted_its_whole_delay_begins_anew(alice: Person) -> None:
    room_id = await alice.create_room()
    delay_id = await schedule(alice, room_id, 2_500, "last will")
    first = (await alice.get(f"{LIST}/{delay_id}")).ok()["scheduled_at"]
    for _ in range(3):
        await asyncio.sleep(1)
        # By the path of earlier drafts too.
        assert (await alice.post(f"{LIST}/{delay_id}", {"action": "restart"})).ok() == {}
    assert await bodies(alice, room_id) == []
    found = await finalised(alice, delay_id)
    assert found["scheduled_at"] >= first + 3_000
    assert found["finalised_ts"] >= found["scheduled_at"] + 2_500


async def test_sent_at_once(alice: Person) -> None:
    room_id = await alice.create_room()
    delay_id = await schedule(alice, room_id, LATER, "now")
    for _ in range(2):
        assert (await act(alice, delay_id, "send")).ok() == {}
    assert await bodies(alice, room_id) == ["now"]
    found = (await alice.get(f"{LIST}/{delay_id}")).ok()
    assert found["finalised_ts"] < found["scheduled_at"] + found["delay_ms"]
    for action in ("cancel", "restart"):
        assert (await act(alice, delay_id, action)).error() == (409, "M_UNKNOWN")


async def test_whether_its_user_may_is_judged_when_it_is_sent(alice: Person, bob: Person) -> None:
    room_id = await alice.create_room(preset="public_chat")
    # Not in the room yet, and gone again.
    early = await schedule(bob, room_id, 1_000, "by then a member")
    late = await schedule(bob, room_id, 4_000, "by then gone")
    kept = await schedule(bob, room_id, LATER, "not now")
    await bob.join(room_id)
    await finalised(bob, early)
    (await bob.post(f"{bob.room(room_id)}/leave")).ok()
    found = await finalised(bob, late)
    assert found["error"]["errcode"] == "M_FORBIDDEN" and "event_id" not in found
    assert await bodies(alice, room_id) == ["by then a member"]
    # Cancelled by an error is cancelled.
    assert (await act(bob, late, "cancel")).ok() == {}
    assert (await act(bob, late, "send")).error() == (409, "M_UNKNOWN")
    # What keeps it from being sent at once leaves it scheduled.
    assert (await act(bob, kept, "send")).error() == (403, "M_FORBIDDEN")
    await bob.join(room_id)
    assert (await act(bob, kept, "send")).ok() == {}
    assert await bodies(alice, room_id) == ["by then a member", "not now"]


async def test_a_logout_does_not_keep_it_and_a_deactivation_does(
    house: House, alice: Person, bob: Person
) -> None:
    room_id = await alice.create_room(preset="public_chat")
    await bob.join(room_id)
    device = await house.device(bob)
    sent = await schedule(device, room_id, 300, "after the logout")
    (await device.post(f"{V3}/logout")).ok()
    await finalised(bob, sent)
    assert await bodies(alice, room_id) == ["after the logout"]
    refused = await schedule(bob, room_id, 2_000, "after the end")
    await house.users.deactivate(bob.user_id, erase=False)
    async with asyncio.timeout(5):
        while True:
            found = await queries.get(house.platform.db, bob.user_id, refused)
            assert found is not None
            if found.finalised_ts is not None:
                break
            await asyncio.sleep(0.02)
    assert found.error is not None and b"M_USER_DEACTIVATED" in found.error
    assert await bodies(alice, room_id) == ["after the logout"]


async def test_of_a_closed_account_nothing_is_kept(
    house: House, alice: Person, bob: Person, timers: Timers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_USERS_AT_ONCE", 1)
    room_id = await alice.create_room()
    kept = await schedule(alice, room_id, LATER, "hers")
    for number in range(2):
        waiting = await schedule(bob, room_id, LATER, f"his {number}")
    (await act(bob, waiting, "cancel")).ok()
    await house.users.deactivate(bob.user_id, erase=True)
    await timers.forget()
    assert bob.user_id not in await queries.users(house.platform.db, "", 1000)
    assert (await alice.get(f"{LIST}/{kept}")).status == 200


async def test_a_suspended_user_schedules_nothing_and_sends_nothing(house: House, alice: Person) -> None:
    room_id = await alice.create_room()
    delay_id = await schedule(alice, room_id, 2_000, "unsaid")
    await house.users.moderate(alice.user_id, suspended=True)
    unrecorded = Person(alice.app, alice.token, recorded=False)
    by_query = await unrecorded.request(
        "PUT",
        f"{alice.room(room_id)}/send/m.room.redaction/t",
        {"redacts": "$x"},
        query={"org.matrix.msc4140.delay": "1"},
    )
    assert by_query.error() == (403, "M_USER_SUSPENDED")
    path = f"{PREFIX}/rooms/{seg(room_id)}/delayed_event/m.room.message/t"
    assert (await alice.put(path, {"delay_ms": 1, "content": {}})).error() == (403, "M_USER_SUSPENDED")
    assert (await finalised(alice, delay_id))["error"]["errcode"] == "M_USER_SUSPENDED"


async def test_nobody_else_can_see_or_manage_it(house: House, alice: Person, bob: Person) -> None:
    delay_id = await schedule(alice, await alice.create_room(), LATER, "mine")
    assert (await bob.get(LIST)).ok() == {"delayed_events": []}
    for name in (delay_id, "nothing", "x" * 64):
        assert (await bob.get(f"{LIST}/{name}")).error() == (404, "M_NOT_FOUND")
        for action in ("send", "cancel", "restart"):
            assert (await act(bob, name, action)).error() == (404, "M_NOT_FOUND")
    nobody = house.client()
    assert (await nobody.get(LIST)).error() == (401, "M_MISSING_TOKEN")
    assert (await nobody.post(f"{LIST}/{delay_id}/send")).error() == (401, "M_MISSING_TOKEN")
    assert (await act(alice, delay_id, "nonsense")).error() == (404, "M_UNRECOGNIZED")
    assert (await alice.post(f"{LIST}/{delay_id}", {"action": "x"})).error() == (400, "M_BAD_JSON")
    assert "finalised_ts" not in (await alice.get(f"{LIST}/{delay_id}")).ok()


@pytest.mark.parametrize(
    ("type_", "request_", "error"),
    [
        ("m.room.message", {"content": {}}, (400, "M_MISSING_PARAM")),
        ("m.room.message", {"delay_ms": 1}, (400, "M_MISSING_PARAM")),
        ("m.room.message", {"delay_ms": 0, "content": {}}, (400, "M_INVALID_PARAM")),
        ("m.room.message", {"delay_ms": 86_400_001, "content": {}}, (403, "M_FORBIDDEN")),
        ("m.room.message", {"delay_ms": 1, "content": {"x": "x" * 70_000}}, (413, "M_TOO_LARGE")),
        ("m.room.redaction", {"delay_ms": 1, "content": {}}, (400, "M_BAD_JSON")),
        ("x" * 256, {"delay_ms": 1, "content": {}}, (400, "M_INVALID_PARAM")),
    ],
)
async def test_what_is_not_scheduled(
    alice: Person, type_: str, request_: dict[str, Any], error: tuple[int, str]
) -> None:
    path = f"{PREFIX}/rooms/{seg('!r:here.example.org')}/delayed_event/{type_}/t"
    assert (await alice.put(path, request_)).error() == error
    assert (await alice.get(LIST)).ok() == {"delayed_events": []}


async def test_a_user_has_so_many_waiting(database: TestDatabase, tmp_path: Path, house: House) -> None:
    settings = {"max_delay_seconds": 60, "max_scheduled": 2}
    async with open_house(database, tmp_path, delayed_events=settings) as small:
        otto = await small.person("otto-few")
        capabilities = (await otto.get(f"{V3}/capabilities")).ok()["capabilities"]
        assert capabilities["org.matrix.msc4140.delayed_events"] == {
            "max_delay_ms": 60_000,
            "max_scheduled": 2,
        }
        room_id = await otto.create_room()
        first = await schedule(otto, room_id, 30_000, "1")
        await schedule(otto, room_id, 60_000, "2")
        path = f"{PREFIX}/rooms/{seg(room_id)}/delayed_event/m.room.message/3"
        full = await otto.put(path, {"delay_ms": 1, "content": {}})
        assert full.error() == (429, "M_LIMIT_EXCEEDED")
        assert 25 <= int(full.headers["retry-after"]) <= 30
        (await act(otto, first, "cancel")).ok()
        assert (await otto.put(path, {"delay_ms": 1, "content": {}})).status == 200
    async with open_house(database, tmp_path, delayed_events={"max_scheduled": 0}) as none:
        anna = await none.person("anna-none")
        path = f"{PREFIX}/rooms/{seg('!r:x')}/delayed_event/m.room.message/3"
        assert (await anna.put(path, {"delay_ms": 1, "content": {}})).error() == (403, "M_FORBIDDEN")


async def test_the_rate_limit_of_sending_holds_when_it_is_sent(
    database: TestDatabase, tmp_path: Path, timers: Timers
) -> None:
    limits = {"enabled": True, "message": {"per_second": 0.001, "burst": 1}}
    # This house's own timers count by its limits; those of the module would not.
    await timers.drain()
    async with open_house(database, tmp_path, rate_limits=limits) as strict:
        otto = await strict.person("otto-strict")
        room_id = await otto.create_room()
        events = [await schedule(otto, room_id, 500, f"{number}") for number in range(2)]
        async for _ in run_timers(strict):
            found = [await finalised(otto, delay_id) for delay_id in events]
        assert "event_id" in found[0]
        assert found[1]["error"]["errcode"] == "M_LIMIT_EXCEEDED"
        assert await bodies(otto, room_id) == ["0"]
    await timers.start()


async def test_many_workers_send_each_event_once_and_in_order(
    house: House, alice: Person, timers: Timers, monkeypatch: pytest.MonkeyPatch
) -> None:
    await timers.drain()
    monkeypatch.setattr(module, "_AT_ONCE", 7)
    rooms = [await alice.create_room(preset="public_chat") for _ in range(2)]
    events = [
        await schedule(alice, room_id, 100 + number, f"{number}") for number in range(20) for room_id in rooms
    ]
    await asyncio.sleep(0.3)
    # All are due: as after a restart.
    workers = [new_timers(house) for _ in range(3)]
    await asyncio.gather(*(worker.start() for worker in workers))
    found = [await finalised(alice, delay_id) for delay_id in events]
    await asyncio.gather(*(worker.drain() for worker in workers))
    assert len({each["event_id"] for each in found}) == len(events)
    for room_id in rooms:
        assert await bodies(alice, room_id) == [str(number) for number in range(20)]
    await timers.start()


async def test_what_a_dead_worker_has_sent_is_not_sent_again(
    house: House, alice: Person, timers: Timers, monkeypatch: pytest.MonkeyPatch
) -> None:
    await timers.drain()
    room_id = await alice.create_room()
    delay_id = await schedule(alice, room_id, 10, "once")
    await asyncio.sleep(0.1)

    async def dies(*_: object) -> None:
        raise asyncio.CancelledError

    with monkeypatch.context() as patched:
        patched.setattr(queries, "finalise", dies)
        with pytest.raises(asyncio.CancelledError):
            await timers.send_due()
    # Its time is not known while it may be under way.
    busy = await act(alice, delay_id, "cancel")
    assert busy.error() == (503, "M_UNKNOWN")
    # As when the lease is over.
    await queries.release(house.platform.db, delay_id)
    # By then she may not send any more: it has been sent all the same.
    (await alice.post(f"{alice.room(room_id)}/leave")).ok()
    await timers.start()
    assert "event_id" in await finalised(alice, delay_id)
    assert await bodies(alice, room_id) == ["once"]


async def test_a_room_that_is_not_to_be_had_is_tried_again(
    house: House, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    room_id = await alice.create_room()
    send, refused = house.rooms.send, 0

    async def at_last(*args: Any, **more: Any) -> Written:
        nonlocal refused
        if refused < 1:
            refused += 1
            raise Unavailable("not now")
        return await send(*args, **more)

    monkeypatch.setattr(house.rooms, "send", at_last)
    events = [await schedule(alice, room_id, 200, text) for text in ("at last", "and then")]
    for delay_id in events:
        assert "event_id" in await finalised(alice, delay_id)
    assert refused == 1
    assert await bodies(alice, room_id) == ["at last", "and then"]


async def test_finalised_events_are_kept_for_some_time(house: House, alice: Person) -> None:
    room_id = await alice.create_room()
    events = [await schedule(alice, room_id, LATER, str(number)) for number in range(4)]
    for delay_id in events[:3]:
        (await act(alice, delay_id, "cancel")).ok()
        await asyncio.sleep(0.01)
    await queries.forget(house.platform.db, 60_000, 2)
    statuses = [(await alice.get(f"{LIST}/{delay_id}")).status for delay_id in events]
    assert statuses == [404, 200, 200, 200]
    await asyncio.sleep(0.05)
    await queries.forget(house.platform.db, 0, 1000)
    assert [(await alice.get(f"{LIST}/{delay_id}")).status for delay_id in events] == [404, 404, 404, 200]
