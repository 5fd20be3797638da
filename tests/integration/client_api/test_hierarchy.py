"""The tree of a space: its order, its pages, and what each user is shown of it."""

from itertools import pairwise
from typing import Any

import pytest

from tests.support.house import SERVER, House, Person, open_house
from tests.support.http import Answer, AsgiClient, seg
from tests.support.postgres import TestDatabase

pytestmark = pytest.mark.asyncio(loop_scope="module")

VIA = {"via": [SERVER]}


async def ask(client: AsgiClient, room_id: str, **query: Any) -> Answer:
    return await client.get(f"/_matrix/client/v1/rooms/{seg(room_id)}/hierarchy", **query)


async def rooms(client: AsgiClient, room_id: str, **query: Any) -> list[str]:
    """The room IDs of all pages."""
    found: list[str] = []
    start = None
    while True:
        page = (await ask(client, room_id, **query, **({} if start is None else {"from": start}))).ok()
        found += [room["room_id"] for room in page["rooms"]]
        start = page.get("next_batch")
        if start is None:
            return found
        assert page["rooms"]


async def space(person: Person, **body: Any) -> str:
    return await person.create_room(
        **{"preset": "public_chat", "creation_content": {"type": "m.space"}, **body}
    )


async def add(person: Person, parent: str, child: str, **content: Any) -> None:
    path = f"{person.room(parent)}/state/m.space.child/{seg(child)}"
    (await person.put(path, {**VIA, **content})).ok()


async def test_depth_first_in_the_order_of_the_spec(alice: Person) -> None:
    root = await space(alice)
    late, early, second, first, same = [await alice.create_room(preset="public_chat") for _ in range(5)]
    below = await alice.create_room(preset="public_chat")
    inner = await space(alice)
    await add(alice, inner, below)
    # Without an order: by the age of the event, after those with one.
    await add(alice, root, early)
    await add(alice, root, late, order="\x7f is no valid order")
    await add(alice, root, second, order="aaaa")
    await add(alice, root, first, order=" ")
    await add(alice, root, inner, order="aab")
    # The same order: by age.
    await add(alice, root, same, order="aaaa")
    expected = [root, first, second, same, inner, below, early, late]
    assert await rooms(alice, root) == expected
    page = (await ask(alice, root)).ok()
    by_id = {room["room_id"]: room for room in page["rooms"]}
    children = by_id[root]["children_state"]
    assert [child["state_key"] for child in children] == [first, second, same, inner, early, late]
    assert children[0]["type"] == "m.space.child"
    assert children[0]["sender"] == alice.user_id
    assert children[0]["content"] == {**VIA, "order": " "}
    assert isinstance(children[0]["origin_server_ts"], int)
    assert by_id[root]["room_type"] == "m.space"
    # "If the room is not a space-room, this should be empty."
    assert by_id[first]["children_state"] == []
    assert by_id[inner]["children_state"][0]["state_key"] == below
    # Any size of page gives the same, each room once.
    for limit in (1, 2, 3, 7, 8, 100):
        assert await rooms(alice, root, limit=limit) == expected


async def test_equal_times_are_ordered_by_room_id(house: House, alice: Person) -> None:
    """ "If the timestamps are the same, the children are ordered lexicographically by their room IDs." """
    children = [await alice.create_room(preset="public_chat") for _ in range(4)]
    # The children of a new room may all be of one millisecond, and some pairs of these are.
    events = [
        {"type": "m.space.child", "state_key": child, "content": {**VIA, "order": "a"}} for child in children
    ]
    root = await space(alice, initial_state=events)
    page = (await ask(alice, root)).ok()
    times = {child["state_key"]: child["origin_server_ts"] for child in page["rooms"][0]["children_state"]}
    assert await rooms(alice, root) == [root, *sorted(children, key=lambda child: (times[child], child))]


async def test_each_user_is_shown_what_they_may_join_or_read(
    house: House, alice: Person, bob: Person, carol: Person
) -> None:
    def rule(join_rule: str, *allowed: str) -> dict[str, Any]:
        allow = [{"type": "m.room_membership", "room_id": room_id} for room_id in allowed]
        content = {"join_rule": join_rule, "allow": allow}
        return {"initial_state": [{"type": "m.room.join_rules", "content": content}], "preset": None}

    async def room(**body: Any) -> str:
        return await alice.create_room(**{key: value for key, value in body.items() if value is not None})

    root = await space(alice)
    public = await room(preset="public_chat")
    invited = await room(invite=[bob.user_id])
    private = await room()
    knockable = await room(**rule("knock"))
    restricted = await room(**rule("restricted", root))
    visibility = {"type": "m.room.history_visibility", "content": {"history_visibility": "world_readable"}}
    readable = await room(initial_state=[visibility])
    elsewhere = "!a:elsewhere.example.org"
    for child in (public, invited, private, knockable, restricted, readable, elsewhere):
        await add(alice, root, child)
    everything = [root, public, invited, private, knockable, restricted, readable]
    assert await rooms(alice, root) == everything
    assert await rooms(bob, root) == [root, public, invited, knockable, readable]
    await carol.join(root)
    assert await rooms(carol, root) == [root, public, knockable, restricted, readable]
    (await alice.post(f"{alice.room(public)}/ban", {"user_id": carol.user_id})).ok()
    assert await rooms(carol, root) == [root, knockable, restricted, readable]
    page = (await ask(carol, root)).ok()
    assert page["rooms"][2]["allowed_room_ids"] == [root]


async def test_a_hidden_space_hides_what_hangs_below_it(alice: Person, bob: Person) -> None:
    root = await space(alice)
    hidden = await space(alice, preset="private_chat")
    below = await alice.create_room(preset="public_chat")
    await add(alice, root, hidden)
    await add(alice, hidden, below)
    assert await rooms(alice, root) == [root, hidden, below]
    assert await rooms(bob, root) == [root]


async def test_the_root_must_be_one_the_user_may_see(house: House, alice: Person, bob: Person) -> None:
    private = await space(alice, preset="private_chat")
    assert (await ask(bob, private)).error() == (403, "M_FORBIDDEN")
    assert (await ask(bob, "!nothing:elsewhere.example.org")).error() == (403, "M_FORBIDDEN")
    banned = await space(alice)
    (await alice.post(f"{alice.room(banned)}/ban", {"user_id": bob.user_id})).ok()
    assert (await ask(bob, banned)).error() == (403, "M_FORBIDDEN")
    assert (await ask(house.client(), banned)).error() == (401, "M_MISSING_TOKEN")
    # A room that is no space is a tree of one.
    room_id = await alice.create_room()
    await add(alice, room_id, banned)
    page = (await ask(alice, room_id)).ok()
    assert [(each["room_id"], each["children_state"]) for each in page["rooms"]] == [(room_id, [])]


async def test_loops_and_rooms_in_several_places_are_met_once(alice: Person) -> None:
    root, inner = await space(alice), await space(alice)
    shared = await alice.create_room(preset="public_chat")
    await add(alice, root, inner)
    await add(alice, root, shared)
    await add(alice, inner, shared)
    await add(alice, inner, root)
    await add(alice, root, root)
    assert await rooms(alice, root) == [root, inner, shared]
    assert await rooms(alice, root, limit=1) == [root, inner, shared]
    assert await rooms(alice, inner) == [inner, shared, root]


async def test_a_child_without_via_is_no_child(alice: Person) -> None:
    root = await space(alice)
    child = await alice.create_room(preset="public_chat")
    await add(alice, root, child)
    assert await rooms(alice, root) == [root, child]
    broken: list[dict[str, Any]] = [{}, {"via": []}, {"via": SERVER}]
    for removed in broken:
        path = f"{alice.room(root)}/state/m.space.child/{seg(child)}"
        (await alice.put(path, removed)).ok()
        page = (await ask(alice, root)).ok()
        assert [room["room_id"] for room in page["rooms"]] == [root]
        assert page["rooms"][0]["children_state"] == []
        await add(alice, root, child)


async def test_suggested_only_holds_all_the_way_down(alice: Person) -> None:
    root, suggested, other = await space(alice), await space(alice), await space(alice)
    below, beside, under = [await alice.create_room(preset="public_chat") for _ in range(3)]
    await add(alice, root, suggested, suggested=True)
    await add(alice, root, other)
    await add(alice, suggested, below, suggested=True)
    await add(alice, suggested, beside, suggested="yes")
    await add(alice, other, under, suggested=True)
    assert await rooms(alice, root, suggested_only="true") == [root, suggested, below]
    assert await rooms(alice, root, suggested_only="true", limit=1) == [root, suggested, below]
    page = (await ask(alice, root, suggested_only="true")).ok()
    assert [child["state_key"] for child in page["rooms"][0]["children_state"]] == [suggested]
    assert await rooms(alice, root) == [root, suggested, below, beside, other, under]


async def test_max_depth(alice: Person) -> None:
    spaces = [await space(alice) for _ in range(4)]
    for parent, child in pairwise(spaces):
        await add(alice, parent, child)
    for depth in range(4):
        assert await rooms(alice, spaces[0], max_depth=depth) == spaces[: depth + 1]
    assert await rooms(alice, spaces[0]) == spaces
    assert await rooms(alice, spaces[0], max_depth=1_000_000) == spaces


async def test_a_token_is_of_one_walk(alice: Person) -> None:
    root, inner = await space(alice), await space(alice)
    await add(alice, root, inner, suggested=True)
    await add(alice, inner, root)
    token = (await ask(alice, root, limit=1, max_depth=3)).ok()["next_batch"]
    (await ask(alice, root, limit=1, max_depth=3, **{"from": token})).ok()
    refused = (400, "M_INVALID_PARAM")
    assert (await ask(alice, root, max_depth=2, **{"from": token})).error() == refused
    assert (await ask(alice, root, **{"from": token})).error() == refused
    changed = await ask(alice, root, max_depth=3, suggested_only="true", **{"from": token})
    assert changed.error() == refused
    assert (await ask(alice, inner, max_depth=3, **{"from": token})).error() == refused
    for wrong in ("nonsense", "é", "e30", "WzFd", token[:-4]):
        assert (await ask(alice, root, max_depth=3, **{"from": wrong})).error() == refused
    for query in ({"limit": 0}, {"limit": "x"}, {"max_depth": -1}, {"suggested_only": "perhaps"}):
        assert (await ask(alice, root, **query)).error() == refused


async def test_pages_of_a_tree_that_changes(alice: Person) -> None:
    """No room that stays where it is is given twice or left out."""
    root = await space(alice)
    children = [await alice.create_room(preset="public_chat") for _ in range(6)]
    for number, child in enumerate(children):
        await add(alice, root, child, order=f"{number}")
    page = (await ask(alice, root, limit=3)).ok()
    assert [room["room_id"] for room in page["rooms"]] == [root, *children[:2]]
    # One of those that were given goes, and a new one comes before them.
    new = await alice.create_room(preset="public_chat")
    await add(alice, root, new, order="!")
    await add(alice, root, children[0], via=[])
    page = (await ask(alice, root, limit=2, **{"from": page["next_batch"]})).ok()
    assert [room["room_id"] for room in page["rooms"]] == children[2:4]
    # The last that was given goes: as many as were given are left out.
    await add(alice, root, children[3], via=[])
    page = (await ask(alice, root, **{"from": page["next_batch"]})).ok()
    assert set(children[5:]) <= {room["room_id"] for room in page["rooms"]} <= set(children[4:])
    assert "next_batch" not in page


async def test_a_token_is_good_on_any_replica(
    database: TestDatabase, house: House, alice: Person, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = await space(alice)
    child = await alice.create_room(preset="public_chat")
    await add(alice, root, child)
    token = (await ask(alice, root, limit=1)).ok()["next_batch"]
    async with open_house(database, tmp_path_factory.mktemp("replica")) as other:
        page = (await ask(other.client(alice.token), root, **{"from": token})).ok()
    assert [room["room_id"] for room in page["rooms"]] == [child]


async def test_a_space_with_more_rooms_than_are_read_together(alice: Person) -> None:
    children = [await alice.create_room(preset="public_chat") for _ in range(60)]
    events = [
        {"type": "m.space.child", "state_key": child, "content": {**VIA, "order": f"{number:03}"}}
        for number, child in enumerate(children)
    ]
    root = await space(alice, initial_state=events)
    assert await rooms(alice, root) == [root, *children]
    assert await rooms(alice, root, limit=17) == [root, *children]
    # A page is of a hundred rooms at the most, of fifty if nothing is said.
    assert len((await ask(alice, root)).ok()["rooms"]) == 50
    assert len((await ask(alice, root, limit=1000)).ok()["rooms"]) == 61
