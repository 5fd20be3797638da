"""Account data, profiles, filters and push rules over HTTP."""

import asyncio
import logging

import pytest
from plexus.client_api.profiles.room_tasks import RoomTasks
from plexus.protocol.errors import Unavailable
from plexus.rooms import NewEvent, Written

from tests.integration.accounts.conftest import OpenHouse, sign_up
from tests.support.house import V3, House, Person
from tests.support.http import seg

pytestmark = pytest.mark.asyncio(loop_scope="module")


def mine(person: Person) -> str:
    return f"{V3}/user/{seg(person.user_id)}"


async def test_account_data(house: House, alice: Person, name: str) -> None:
    bob = await sign_up(house, name + "b")
    for path in (f"{mine(alice)}/account_data/m.direct", f"{mine(alice)}/rooms/!r:x/account_data/m.tag"):
        assert (await alice.get(path)).error() == (404, "M_NOT_FOUND")
        assert (await alice.put(path, {"a": [1.5, "ü"]})).ok() == {}
        assert (await alice.get(path)).ok() == {"a": [1.5, "ü"]}
        assert (await bob.get(path)).error() == (403, "M_FORBIDDEN")
        assert (await bob.put(path, {})).error() == (403, "M_FORBIDDEN")
        assert (await alice.put(path, [])).error() == (400, "M_BAD_JSON")
        assert (await house.client().get(path)).error() == (401, "M_MISSING_TOKEN")


async def test_what_the_server_manages_is_read_only(alice: Person) -> None:
    for where in (mine(alice), f"{mine(alice)}/rooms/!r:x"):
        for managed in ("m.fully_read", "m.push_rules"):
            assert (await alice.put(f"{where}/account_data/{managed}", {})).error() == (405, "M_BAD_JSON")
    rules = (await alice.get(f"{mine(alice)}/account_data/m.push_rules")).ok()
    assert rules == (await alice.get(f"{V3}/pushrules/")).ok()


async def test_names_that_cannot_be_stored(alice: Person) -> None:
    for path in ("/account_data/a%00b", f"/account_data/{'x' * 256}", "/rooms/nonsense/account_data/x"):
        assert (await alice.put(mine(alice) + path, {})).error() == (400, "M_INVALID_PARAM")


async def test_an_account_keeps_so_much(other_house: OpenHouse, name: str) -> None:
    async with other_house(account_data={"max_entries": 3, "max_bytes": 1000}) as small:
        alice = await small.person(name)
        path = f"{mine(alice)}/account_data"
        assert (await alice.put(f"{path}/a", {"a": "x" * 900})).ok() == {}
        for call in (
            alice.put(f"{path}/b", {"b": "x" * 100}),
            alice.put(f"{path}/a", {"a": "x" * 1000}),
            alice.put(f"{mine(alice)}/rooms/!r:x/tags/u.a", {"x": "x" * 100}),
        ):
            assert (await call).error() == (413, "M_TOO_LARGE")
        assert (await alice.get(f"{path}/b")).error() == (404, "M_NOT_FOUND")
        assert (await alice.get(f"{path}/a")).ok() == {"a": "x" * 900}
        assert (await alice.put(f"{path}/b", {})).ok() == {}
        assert (await alice.put(f"{mine(alice)}/rooms/!r:x/account_data/c", {})).ok() == {}
        assert (await alice.put(f"{path}/d", {})).error() == (413, "M_TOO_LARGE")
    # One that has more than a new limit may still make it less.
    async with other_house(account_data={"max_entries": 1, "max_bytes": 10}) as smaller:
        again = Person(smaller.gateway, alice.token)
        assert (await again.put(f"{path}/a", {"a": "x" * 901})).error() == (413, "M_TOO_LARGE")
        assert (await again.put(f"{path}/a", {"a": "x" * 899})).ok() == {}


async def test_filters(house: House, alice: Person, name: str) -> None:
    bob = await sign_up(house, name + "b")
    definition = {"room": {"timeline": {"limit": 10}}, "presence": {"types": []}}
    made = (await alice.post(f"{mine(alice)}/filter", definition)).ok()
    assert (await alice.post(f"{mine(alice)}/filter", definition)).ok() == made
    path = f"{mine(alice)}/filter/{made['filter_id']}"
    assert (await alice.get(path)).ok() == definition
    assert (await bob.get(path)).error() == (403, "M_FORBIDDEN")
    assert (await bob.post(f"{mine(alice)}/filter", {})).error() == (403, "M_FORBIDDEN")
    assert (await alice.get(f"{mine(alice)}/filter/99")).error() == (404, "M_NOT_FOUND")
    assert (await alice.get(f"{mine(alice)}/filter/x")).error() == (404, "M_NOT_FOUND")
    assert (await alice.post(f"{mine(alice)}/filter", {"room": {"timeline": {"limit": -1}}})).status == 400


async def test_push_rules(alice: Person) -> None:
    whole = (await alice.get(f"{V3}/pushrules/")).ok()
    assert set(whole["global"]) == {"override", "content", "room", "sender", "underride"}
    assert (await alice.get(f"{V3}/pushrules/global/")).ok() == whole["global"]
    base = f"{V3}/pushrules/global/content/cake"
    assert (await alice.get(base)).error() == (404, "M_NOT_FOUND")
    assert (await alice.put(base, {"pattern": "cake", "actions": ["notify"]})).ok() == {}
    assert (await alice.get(base)).ok() == {
        "rule_id": "cake",
        "default": False,
        "enabled": True,
        "pattern": "cake",
        "actions": ["notify"],
    }
    assert (await alice.put(base + "/enabled", {"enabled": False})).ok() == {}
    assert (await alice.get(base + "/enabled")).ok() == {"enabled": False}
    assert (await alice.put(base + "/actions", {"actions": []})).ok() == {}
    assert (await alice.get(base + "/actions")).ok() == {"actions": []}
    other = f"{V3}/pushrules/global/content/tea"
    body = {"pattern": "tea", "actions": []}
    assert (await alice.put(other, body, after="nothing")).error() == (400, "M_UNKNOWN")
    assert (await alice.put(other, body, after="cake")).ok() == {}
    assert [each["rule_id"] for each in (await alice.get(f"{V3}/pushrules/global/")).ok()["content"]][:2] == [
        "cake",
        "tea",
    ]
    assert (await alice.delete(base)).ok() == {}
    for gone in (alice.delete(base), alice.get(base + "/enabled"), alice.get(base + "/actions")):
        assert (await gone).error() == (404, "M_NOT_FOUND")
    master = f"{V3}/pushrules/global/override/.m.rule.master"
    assert (await alice.put(master + "/enabled", {"enabled": True})).ok() == {}
    assert (await alice.get(master)).ok()["enabled"] is True
    assert (await alice.delete(master)).status in (400, 404)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("content/x", {}),
        ("content/x", {"pattern": 1, "actions": []}),
        ("content/.x", {"pattern": "x", "actions": []}),
        ("nonsense/x", {"actions": []}),
        ("content/x%00", {"pattern": "x", "actions": []}),
        ("override/.m.rule.master/enabled", {"enabled": "yes"}),
        ("override/.m.rule.master/actions", {"actions": ["nonsense"]}),
    ],
)
async def test_bad_push_rules(alice: Person, path: str, body: dict[str, object]) -> None:
    before = (await alice.get(f"{V3}/pushrules/")).ok()
    assert (await alice.put(f"{V3}/pushrules/global/{path}", body)).status == 400
    assert (await alice.get(f"{V3}/pushrules/")).ok() == before


def profile(person: Person, field: str = "") -> str:
    return f"{V3}/profile/{seg(person.user_id)}" + (f"/{field}" if field else "")


async def test_a_profile(house: House, alice: Person, name: str) -> None:
    bob = await sign_up(house, name + "b")
    assert (await alice.put(profile(alice, "displayname"), {"displayname": "Alice"})).ok() == {}
    assert (await alice.put(profile(alice, "org.example.x"), {"org.example.x": [1, None]})).ok() == {}
    assert (await alice.put(profile(alice, "m.tz"), {"m.tz": "Europe/Zurich"})).ok() == {}
    # Anybody may look, also without a token.
    whole = {"displayname": "Alice", "org.example.x": [1, None], "m.tz": "Europe/Zurich"}
    assert (await house.client().get(profile(alice))).ok() == whole
    assert (await bob.get(profile(alice, "displayname"))).ok() == {"displayname": "Alice"}
    assert (await bob.get(profile(alice, "avatar_url"))).error() == (404, "M_NOT_FOUND")
    assert (await bob.put(profile(alice, "displayname"), {"displayname": "x"})).error() == (
        403,
        "M_FORBIDDEN",
    )
    assert (await bob.delete(profile(alice, "displayname"))).error() == (403, "M_FORBIDDEN")
    assert (await alice.delete(profile(alice, "displayname"))).ok() == {}
    assert (await alice.delete(profile(alice, "displayname"))).ok() == {}
    assert (await bob.get(profile(alice, "displayname"))).error() == (404, "M_NOT_FOUND")
    for unknown in ("@nobody:here.example.org", "@a:elsewhere.org"):
        assert (await bob.get(f"{V3}/profile/{seg(unknown)}")).error() == (404, "M_NOT_FOUND")
    assert (await bob.get(f"{V3}/profile/nonsense")).error() == (400, "M_INVALID_PARAM")


@pytest.mark.parametrize(
    ("field", "body", "errcode"),
    [
        ("displayname", {}, "M_MISSING_PARAM"),
        ("displayname", {"displayname": None}, "M_INVALID_PARAM"),
        ("displayname", {"displayname": "x" * 257}, "M_INVALID_PARAM"),
        ("avatar_url", {"avatar_url": "https://x/y"}, "M_INVALID_PARAM"),
        ("avatar_url", {"avatar_url": "mxc://" + "x" * 1000}, "M_INVALID_PARAM"),
        ("m.tz", {"m.tz": 5}, "M_INVALID_PARAM"),
        ("nonsense", {"nonsense": 1}, "M_INVALID_PARAM"),
        ("Org.example", {"Org.example": 1}, "M_INVALID_PARAM"),
        ("a." + "x" * 254, {}, "M_KEY_TOO_LARGE"),
        ("org.example.big", {"org.example.big": "x" * 65536}, "M_PROFILE_TOO_LARGE"),
    ],
)
async def test_fields_that_are_refused(
    alice: Person, field: str, body: dict[str, object], errcode: str
) -> None:
    answer = await alice.put(profile(alice, field), body)
    assert answer.error() == (400, errcode)
    assert (await alice.get(profile(alice))).ok() == {}


async def test_a_new_name_is_in_every_room(house: House, alice: Person, name: str) -> None:
    rooms = [await alice.create_room() for _ in range(4)]
    left = await alice.create_room()
    await alice.post(f"{alice.room(left)}/leave")
    assert (await alice.put(profile(alice, "displayname"), {"displayname": "Queen"})).ok() == {}
    assert (await alice.put(profile(alice, "avatar_url"), {"avatar_url": "mxc://x/y"})).ok() == {}
    for room in rooms:
        member = await alice.state(room, "m.room.member", alice.user_id)
        assert member == {"membership": "join", "displayname": "Queen", "avatar_url": "mxc://x/y"}
    assert await house.rooms.membership(left, alice.user_id) == "leave"
    events = await house.count("rooms.event")
    # The same again is no news, and custom fields stay out of the rooms.
    await alice.put(profile(alice, "displayname"), {"displayname": "Queen"})
    await alice.put(profile(alice, "org.example.x"), {"org.example.x": 1})
    assert await house.count("rooms.event") == events
    await alice.delete(profile(alice, "avatar_url"))
    member = await alice.state(rooms[0], "m.room.member", alice.user_id)
    assert member == {"membership": "join", "displayname": "Queen"}


async def test_what_a_dead_process_left_is_done_by_another(house: House, alice: Person) -> None:
    room = await alice.create_room()
    await house.users.set_profile_field(alice.user_id, "displayname", "Left behind")
    tasks = RoomTasks(house.rooms, house.users)
    await tasks.start()
    for _ in range(100):
        if (await alice.state(room, "m.room.member", alice.user_id)).get("displayname"):
            break
        await asyncio.sleep(0.02)
    await tasks.drain()
    assert (await alice.state(room, "m.room.member", alice.user_id))["displayname"] == "Left behind"
    assert await house.users.claim_room_tasks(user_id=alice.user_id) == []


async def test_a_room_that_is_not_to_be_had_is_visited_again(
    house: House, alice: Person, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rooms = [await alice.create_room() for _ in range(3)]
    send = house.rooms.send

    async def sometimes(room_id: str, sender: str, event: NewEvent, **more: object) -> Written:
        if room_id == rooms[1]:
            raise Unavailable("not now")
        return await send(room_id, sender, event, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(house.rooms, "send", sometimes)
    await house.users.set_profile_field(alice.user_id, "displayname", "Patient")
    tasks = RoomTasks(house.rooms, house.users)
    with caplog.at_level(logging.WARNING):
        await tasks.begin(alice.user_id)
    assert "tried again later" in caplog.text
    monkeypatch.undo()
    names = [(await alice.state(room, "m.room.member", alice.user_id)).get("displayname") for room in rooms]
    assert names == ["Patient", None, "Patient"]
    async with house.platform.db.write() as write:
        await write.execute("UPDATE users.room_task SET lease_until = 0 WHERE user_id = %s", (alice.user_id,))
    await tasks.begin(alice.user_id)
    assert (await alice.state(rooms[1], "m.room.member", alice.user_id))["displayname"] == "Patient"
