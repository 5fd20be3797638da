import orjson
from plexus.platform.clock import ManualClock
from plexus.users import NewDevice, Users
from plexus.users.uia_sessions import LIFE_MS, UiaSession

from tests.integration.users.conftest import NewUser, facts, head


async def test_messages_reach_the_devices_that_exist(users: Users, new_user: NewUser) -> None:
    alice = (await new_user(NewDevice("A"))).user_id
    bob = (await new_user(NewDevice("B1"))).user_id
    await users.open_session(bob, NewDevice("B2"))
    await users.put_messages(
        alice, "m.hello", {bob: {"*": {"n": 1}, "B1": {"n": 2}, "gone": {"n": 3}}, alice: {"A": {"n": 4}}}
    )
    upto = await head(users, bob)

    async def contents(user_id: str, device_id: str) -> list[int]:
        found = await users.inbox(user_id, device_id, 0, await head(users, user_id))
        assert [each.sequence for each in found] == sorted(each.sequence for each in found)
        events = [orjson.loads(each.event) for each in found]
        assert all((event["sender"], event["type"]) == (alice, "m.hello") for event in events)
        return [event["content"]["n"] for event in events]

    assert await contents(bob, "B1") == [1, 2]
    assert await contents(bob, "B2") == [1]
    assert await contents(alice, "A") == [4]
    assert await facts(users, bob) == [("TO_DEVICE", b""), ("TO_DEVICE", b"B1"), ("TO_DEVICE", b"gone")]
    first, second = await users.inbox(bob, "B1", 0, upto)
    # Only what was delivered goes.
    assert await users.inbox(bob, "B1", 0, upto, limit=1) == [first]
    generation = users.platform.log.generation()
    assert await users.inbox_delete(bob, "B1", first.sequence, generation ^ 1) == 0
    assert await users.inbox_delete(bob, "B1", first.sequence, generation) == 1
    assert await users.inbox(bob, "B1", 0, upto) == [second]
    assert await users.inbox(bob, "B1", 0, second.sequence - 1) == []
    assert await contents(bob, "B2") == [1]


async def test_stages_are_kept_for_one_request(users: Users) -> None:
    done = await users.complete_uia_stage("s1", b"request", "a", {"user": "@a:x"})
    assert done == UiaSession(("a",), {"a": {"user": "@a:x"}})
    done = await users.complete_uia_stage("s1", b"request", "b", True)
    assert done.completed == ("a", "b")
    assert await users.uia_session("s1", b"request") == done
    assert await users.complete_uia_stage("s1", b"request", "b", True) == done
    assert await users.uia_session("s1", b"another") == UiaSession()
    assert (await users.complete_uia_stage("s1", b"another", "c", True)).completed == ("c",)
    assert await users.uia_session("s1", b"request") == UiaSession()
    await users.end_uia_session("s1")
    assert await users.uia_session("s1", b"another") == UiaSession()


async def test_sessions_expire_and_make_room(users: Users) -> None:
    clock = ManualClock(users.clock.now_ms())
    users.clock = clock
    for number in range(5):
        await users.complete_uia_stage(f"old{number}", b"r", "a", 1)
    clock.advance(LIFE_MS / 1000)
    assert await users.uia_session("old1", b"r") == UiaSession()
    assert (await users.complete_uia_stage("old1", b"r", "b", 1)).completed == ("b",)
    async with users.read() as read:
        rows = await read.fetch("SELECT id FROM users.uia_session WHERE id LIKE 'old%%'", ())
    assert rows == [("old1",)]
