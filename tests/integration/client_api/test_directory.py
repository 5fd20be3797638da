"""Aliases and the published room directory."""

from itertools import count

import pytest

from tests.support.house import SERVER, V3, House, Person
from tests.support.http import seg

pytestmark = pytest.mark.asyncio(loop_scope="module")
_numbers = count(1)


@pytest.fixture
def alias() -> str:
    return f"#café {next(_numbers)}:{SERVER}".replace(" ", "_")


def at(alias: str) -> str:
    return f"{V3}/directory/room/{seg(alias)}"


async def test_an_alias_comes_and_goes(house: House, alice: Person, bob: Person, alias: str) -> None:
    room_id = await alice.create_room(preset="public_chat")
    assert (await bob.get(at(alias))).error() == (404, "M_NOT_FOUND")
    # "Only users currently in the room": Bob is not.
    assert (await bob.put(at(alias), {"room_id": room_id})).error() == (403, "M_FORBIDDEN")
    (await alice.put(at(alias), {"room_id": room_id})).ok()
    # No token is needed to resolve one.
    found = (await house.client().get(at(alias))).ok()
    assert found == {"room_id": room_id, "servers": [SERVER]}
    assert (await bob.post(f"{V3}/join/{seg(alias)}")).ok() == {"room_id": room_id}
    assert (await bob.get(f"{bob.room(room_id)}/aliases")).ok() == {"aliases": [alias]}
    # "409: A room alias with that name already exists."
    assert (await bob.put(at(alias), {"room_id": room_id})).error() == (409, "M_UNKNOWN")
    assert (await bob.delete(at(alias))).error() == (403, "M_FORBIDDEN")
    (await alice.delete(at(alias))).ok()
    assert (await alice.delete(at(alias))).error() == (404, "M_NOT_FOUND")
    assert (await alice.get(f"{alice.room(room_id)}/aliases")).ok() == {"aliases": []}


async def test_local_aliases_are_for_members_unless_anybody_may_read(
    alice: Person, bob: Person, alias: str
) -> None:
    """ "If the room's m.room.history_visibility maps to world_readable, any user can call this endpoint." """
    room_id = await alice.create_room(preset="public_chat")
    (await alice.put(at(alias), {"room_id": room_id})).ok()
    path = f"{bob.room(room_id)}/aliases"
    assert (await bob.get(path)).error() == (403, "M_FORBIDDEN")
    visibility = {"history_visibility": "world_readable"}
    (await alice.put(f"{alice.room(room_id)}/state/m.room.history_visibility/", visibility)).ok()
    assert (await bob.get(path)).ok() == {"aliases": [alias]}
    (await alice.put(f"{alice.room(room_id)}/state/m.room.history_visibility/", {})).ok()
    await bob.join(room_id)
    assert (await bob.get(path)).ok() == {"aliases": [alias]}
    assert (await bob.get(f"{V3}/rooms/nothing/aliases")).error() == (400, "M_INVALID_PARAM")


async def test_an_alias_is_its_maker_s_and_the_moderators(alice: Person, bob: Person, alias: str) -> None:
    room_id = await alice.create_room(preset="public_chat")
    await bob.join(room_id)
    (await bob.put(at(alias), {"room_id": room_id})).ok()
    (await bob.delete(at(alias))).ok()
    (await bob.put(at(alias), {"room_id": room_id})).ok()
    (await alice.delete(at(alias))).ok()


@pytest.mark.parametrize(
    ("path", "body", "status", "errcode"),
    [
        ("nothing", {"room_id": "{room}"}, 400, "M_INVALID_PARAM"),
        (seg("#a:elsewhere.org"), {"room_id": "{room}"}, 400, "M_INVALID_PARAM"),
        (seg(f"#a b:{SERVER}"), {"room_id": "{room}"}, 400, "M_INVALID_PARAM"),
        (seg("#" + "a" * 300 + f":{SERVER}"), {"room_id": "{room}"}, 400, "M_INVALID_PARAM"),
        (seg(f"#bad:{SERVER}"), {}, 400, "M_MISSING_PARAM"),
        (seg(f"#bad:{SERVER}"), {"room_id": 1}, 400, "M_BAD_JSON"),
        (seg(f"#bad:{SERVER}"), {"room_id": "nope"}, 400, "M_INVALID_PARAM"),
        (seg(f"#bad:{SERVER}"), {"room_id": "!unknown:x.org"}, 404, "M_NOT_FOUND"),
    ],
)
async def test_bad_aliases(
    house: House, alice: Person, path: str, body: dict[str, object], status: int, errcode: str
) -> None:
    room_id = await alice.create_room()
    before = await house.written()
    sent = {name: room_id if value == "{room}" else value for name, value in body.items()}
    assert (await alice.put(f"{V3}/directory/room/{path}", sent)).error() == (status, errcode)
    assert await house.written() == before


async def test_aliases_that_are_not_here(alice: Person) -> None:
    elsewhere = seg("#a:elsewhere.org")
    assert (await alice.get(f"{V3}/directory/room/{elsewhere}")).error() == (404, "M_NOT_FOUND")
    assert (await alice.get(f"{V3}/directory/room/nope")).error() == (400, "M_INVALID_PARAM")
    assert (await alice.post(f"{V3}/join/{elsewhere}")).error() == (404, "M_NOT_FOUND")
    assert (await alice.post(f"{V3}/join/{seg('!a:elsewhere.org')}")).error() == (404, "M_NOT_FOUND")
    assert (await alice.post(f"{V3}/join/nope")).error() == (400, "M_INVALID_PARAM")


async def test_publishing(house: House, alice: Person, bob: Person) -> None:
    room_id = await alice.create_room(preset="public_chat", name="A room to find", topic="found")
    listing = f"{V3}/directory/list/room/{seg(room_id)}"
    await bob.join(room_id)
    assert (await bob.put(listing, {"visibility": "public"})).error() == (403, "M_FORBIDDEN")
    assert (await alice.put(listing, {"visibility": "maybe"})).error() == (400, "M_BAD_JSON")
    (await alice.put(listing, {})).ok()  # "Defaults to `public`."
    assert (await house.client().get(listing)).ok() == {"visibility": "public"}

    search = {"filter": {"generic_search_term": "a room to FIND"}}
    (found,) = (await bob.post(f"{V3}/publicRooms", search)).ok()["chunk"]
    assert found["room_id"] == room_id
    assert (found["name"], found["topic"], found["num_joined_members"]) == ("A room to find", "found", 2)
    assert (found["join_rule"], found["world_readable"], found["guest_can_join"]) == ("public", False, False)
    assert room_id in {room["room_id"] for room in (await bob.get(f"{V3}/publicRooms")).ok()["chunk"]}

    (await alice.put(listing, {"visibility": "private"})).ok()
    assert (await bob.post(f"{V3}/publicRooms", search)).ok()["chunk"] == []
    unknown = f"{V3}/directory/list/room/{seg('!no:x.org')}"
    assert (await bob.get(unknown)).error() == (404, "M_NOT_FOUND")
    assert (await bob.put(unknown)).error() == (404, "M_NOT_FOUND")


async def test_pages_of_rooms_of_some_types(alice: Person, bob: Person) -> None:
    """ "room_types": "An optional list of room types to search for.", null for rooms without one."""
    space, other = "m.space", "org.example.types"
    made: dict[str | None, set[str]] = {None: set(), space: set(), other: set()}
    for kind in (space, None, other, None, space, other):
        content = {} if kind is None else {"type": kind}
        room_id = await alice.create_room(visibility="public", name="of types", creation_content=content)
        made[kind].add(room_id)

    async def listed(*types: str | None) -> tuple[set[str], set[int]]:
        """The rooms on pages of two, and the totals told; each page but the last is full."""
        asked = {"limit": 2, "filter": {"generic_search_term": "of types", "room_types": types}}
        page = (await bob.post(f"{V3}/publicRooms", asked)).ok()
        rooms, totals = [*page["chunk"]], {page["total_room_count_estimate"]}
        while "next_batch" in page:
            assert len(page["chunk"]) == 2
            page = (await bob.post(f"{V3}/publicRooms", {**asked, "since": page["next_batch"]})).ok()
            rooms += page["chunk"]
            totals.add(page["total_room_count_estimate"])
        assert len(rooms) == len({room["room_id"] for room in rooms})
        return {room["room_id"] for room in rooms}, totals

    assert await listed(space) == (made[space], {2})
    assert await listed(None, other) == (made[None] | made[other], {4})
    assert await listed("org.example.nothing") == (set(), {0})
    spaces = {"limit": 500, "filter": {"room_types": [space]}}
    of_all = (await bob.post(f"{V3}/publicRooms", spaces)).ok()["chunk"]
    assert made[space] <= {room["room_id"] for room in of_all}
    assert {room["room_type"] for room in of_all} == {space}


async def test_the_directory_in_pages(house: House, alice: Person) -> None:
    made = {await alice.create_room(visibility="public", name=f"page {number}") for number in range(5)}
    client = house.client()
    seen: list[str] = []
    page = (await client.get(f"{V3}/publicRooms", limit=2)).ok()
    assert "prev_batch" not in page
    while True:
        seen += [room["room_id"] for room in page["chunk"]]
        if "next_batch" not in page:
            break
        page = (await client.get(f"{V3}/publicRooms", limit=2, since=page["next_batch"])).ok()
    assert len(seen) == len(set(seen)) and made <= set(seen)
    assert (await client.get(f"{V3}/publicRooms", limit="-1")).error() == (400, "M_INVALID_PARAM")
    assert (await client.post(f"{V3}/publicRooms")).error() == (401, "M_MISSING_TOKEN")
    assert (await alice.post(f"{V3}/publicRooms", {"limit": "2"})).error() == (400, "M_BAD_JSON")
    assert (await alice.post(f"{V3}/publicRooms", {"filter": []})).error() == (400, "M_BAD_JSON")
