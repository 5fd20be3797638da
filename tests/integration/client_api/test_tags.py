"""Client-Server API, "Room Tagging"."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.house import V3, House, Person
from tests.support.http import seg

pytestmark = pytest.mark.asyncio(loop_scope="module")


def tags_of(person: Person, room_id: str) -> str:
    return f"{V3}/user/{seg(person.user_id)}/rooms/{seg(room_id)}/tags"


async def test_tags_are_set_listed_and_removed(alice: Person, bob: Person) -> None:
    room_id = await alice.create_room(preset="public_chat")
    await bob.join(room_id)
    path = tags_of(alice, room_id)
    assert (await alice.get(path)).ok() == {"tags": {}}
    for tag, content in (("m.favourite", {"order": 0.1}), ("u.Work", {"order": 1, "x": [None]}), ("ü", {})):
        assert (await alice.put(f"{path}/{seg(tag)}", content)).ok() == {}
    assert (await alice.put(f"{path}/m.favourite", {"order": 0})).ok() == {}
    tags = {"m.favourite": {"order": 0}, "u.Work": {"order": 1, "x": [None]}, "ü": {}}
    assert (await alice.get(path)).ok() == {"tags": tags}
    # They are the room's account data, and the user's own.
    data = path.removesuffix("tags") + "account_data/m.tag"
    assert (await alice.get(data)).ok() == {"tags": tags}
    assert (await bob.get(tags_of(bob, room_id))).ok() == {"tags": {}}
    assert (await alice.delete(f"{path}/u.Work")).ok() == {}
    assert (await alice.delete(f"{path}/u.Work")).ok() == {}
    del tags["u.Work"]
    assert (await alice.get(path)).ok() == {"tags": tags}


async def test_tags_upon_whatever_a_client_has_set_as_a_whole(alice: Person) -> None:
    path = tags_of(alice, "!r:here.example.org")
    data = path.removesuffix("tags") + "account_data/m.tag"
    cases: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"tags": [1], "other": 1}, {}),
        ({"tags": {"u.a": 5, "u.b": {}}, "other": 1}, {"u.b": {}}),
    ]
    for whole, kept in cases:
        (await alice.put(data, whole)).ok()
        assert (await alice.get(path)).ok() == {"tags": kept}
        (await alice.put(f"{path}/u.c", {})).ok()
        assert (await alice.get(data)).ok() == {"tags": {**kept, "u.c": {}}, "other": 1}


async def test_tags_set_at_once_are_all_kept(house: House, alice: Person) -> None:
    path = tags_of(alice, await alice.create_room())
    other = await house.device(alice)
    (await alice.put(f"{path}/u.gone", {})).ok()
    answers = await asyncio.gather(
        *(by.put(f"{path}/u.{number}", {}) for number, by in enumerate((alice, other) * 4)),
        alice.delete(f"{path}/u.gone"),
    )
    assert [answer.status for answer in answers] == [200] * 9
    assert (await alice.get(path)).ok() == {"tags": {f"u.{number}": {} for number in range(8)}}


@pytest.mark.parametrize("order", [-0.1, 1.1, "0.5", True, None, [0.5]])
async def test_an_order_is_a_number_from_0_to_1(alice: Person, order: Any) -> None:
    path = tags_of(alice, "!r:here.example.org")
    assert (await alice.put(f"{path}/u.a", {"order": order})).error() == (400, "M_INVALID_PARAM")
    assert (await alice.get(path)).ok() == {"tags": {}}


async def test_what_is_refused(house: House, alice: Person, bob: Person) -> None:
    path = tags_of(alice, "!r:here.example.org")
    for call in (bob.get(path), bob.put(f"{path}/u.a", {}), bob.delete(f"{path}/u.a")):
        assert (await call).error() == (403, "M_FORBIDDEN")
    assert (await house.client().get(path)).error() == (401, "M_MISSING_TOKEN")
    assert (await alice.put(f"{path}/u.a", [])).error() == (400, "M_BAD_JSON")
    for bad in (f"{path}/{'x' * 256}", f"{path}/a%00b", f"{tags_of(alice, 'nonsense')}/u.a"):
        assert (await alice.put(bad, {})).error() == (400, "M_INVALID_PARAM")
        assert (await alice.delete(bad)).error() == (400, "M_INVALID_PARAM")
