import asyncio
from typing import Any

import orjson
import pytest
from plexus.protocol.errors import NotFound
from plexus.protocol.push_rules import Overlay
from plexus.users import AccountData, Users

from tests.integration.users.conftest import NewUser, OpenUsers, facts, head

ROOM = "!room:here.example.org"


async def changes(users: Users, user_id: str, after: int, upto: int | None = None) -> list[AccountData]:
    end = await head(users, user_id) if upto is None else upto
    return (await users.sync_changes(user_id, after, end)).account_data


async def test_what_is_set_is_there_with_its_position(users: Users, new_user: NewUser) -> None:
    user_id = (await new_user()).user_id
    content = {"a": 1.5, "b": [None, "ü\0"]}
    first = await users.set_account_data(user_id, "m.direct", content)
    second = await users.set_account_data(user_id, "m.tag", {}, ROOM)
    assert second == first + 1
    assert orjson.loads(await users.account_data(user_id, "m.direct") or b"") == content
    assert await users.account_data(user_id, "m.direct", ROOM) is None
    assert await users.account_data(user_id, "m.tag", ROOM) == b"{}"
    found = await changes(users, user_id, first - 1)
    assert [(each.room_id, each.type, each.position) for each in found] == [
        ("", "m.direct", first),
        (ROOM, "m.tag", second),
    ]
    assert (await facts(users, user_id))[-2:] == [("ACCOUNT_DATA", b""), ("ACCOUNT_DATA", ROOM.encode())]


async def test_changes_are_bounded_by_the_cut(users: Users, new_user: NewUser) -> None:
    user_id = (await new_user()).user_id
    first = await users.set_account_data(user_id, "a", {"n": 1})
    second = await users.set_account_data(user_id, "b", {"n": 1})
    third = await users.set_account_data(user_id, "a", {"n": 2})
    # "a" has moved beyond the cut: it comes with the next one.
    assert [each.type for each in await changes(users, user_id, first - 1, second)] == ["b"]
    [moved] = await changes(users, user_id, second, third)
    assert (moved.type, moved.content) == ("a", b'{"n":2}')
    assert await changes(users, user_id, third) == []


async def test_deltas_add_up_to_a_fresh_fetch(users: Users, open_users: OpenUsers, new_user: NewUser) -> None:
    user_id = (await new_user()).user_id
    view: dict[tuple[str, str], bytes] = {}
    at = await head(users, user_id)
    for each in await users.account_data_all(user_id):
        view[each.room_id, each.type] = each.content
    async with open_users() as other:

        async def write(by: Users, seed: int) -> None:
            for n in range(30):
                if n % 7 == seed:
                    await by.edit_push_rules(
                        user_id,
                        lambda overlay, n=n: overlay.put_rule(
                            "content", f"r{n}", {"actions": [], "pattern": "x"}
                        ),  # type: ignore[misc]
                    )
                room = ROOM if n % 3 == 0 else ""
                await by.set_account_data(user_id, f"t{n % 5}", {"by": seed, "n": n}, room)

        writers = asyncio.gather(write(users, 1), write(other, 2))
        while not writers.done():
            upto = await head(users, user_id)
            for each in await changes(users, user_id, at, upto):
                view[each.room_id, each.type] = each.content
            at = upto
        await writers
    for each in await changes(users, user_id, at):
        view[each.room_id, each.type] = each.content
    fresh = {(each.room_id, each.type): each.content for each in await users.account_data_all(user_id)}
    assert view == fresh
    assert len(fresh) == 11


async def test_nobody_sees_the_data_of_another(users: Users, new_user: NewUser) -> None:
    alice, bob = (await new_user()).user_id, (await new_user()).user_id
    await users.set_account_data(alice, "m.direct", {"secret": True})
    assert await users.account_data(bob, "m.direct") is None
    assert [each.type for each in await users.account_data_all(bob)] == ["m.push_rules"]


async def test_push_rules_are_account_data_from_the_start(users: Users, new_user: NewUser) -> None:
    user_id = (await new_user()).user_id
    [rules] = await users.account_data_all(user_id)
    assert (rules.room_id, rules.type, rules.position) == ("", "m.push_rules", 0)
    assert orjson.loads(rules.content) == await users.push_rules(user_id)
    assert await users.account_data(user_id, "m.push_rules") == rules.content
    assert await users.account_data(user_id, "m.push_rules", ROOM) is None


def rule(ruleset: dict[str, Any], kind: str, rule_id: str) -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in ruleset["global"][kind] if each["rule_id"] == rule_id)
    return found


async def test_editing_push_rules(users: Users, new_user: NewUser) -> None:
    user_id = (await new_user()).user_id
    before = await head(users, user_id)
    await users.edit_push_rules(
        user_id, lambda overlay: overlay.set_enabled("override", ".m.rule.master", True)
    )
    body = {"actions": ["notify"], "pattern": "cake"}
    await users.edit_push_rules(user_id, lambda overlay: overlay.put_rule("content", "cake", body))
    ruleset = await users.push_rules(user_id)
    assert rule(ruleset, "override", ".m.rule.master")["enabled"] is True
    assert rule(ruleset, "content", "cake")["pattern"] == "cake"
    [changed] = await changes(users, user_id, before)
    assert orjson.loads(changed.content) == ruleset
    assert (await facts(users, user_id))[-2:] == [("PUSH_RULES", b""), ("PUSH_RULES", b"")]


async def test_edits_at_once_are_all_there(users: Users, open_users: OpenUsers, new_user: NewUser) -> None:
    user_id = (await new_user()).user_id

    def add(name: str) -> Any:
        return lambda overlay: overlay.put_rule("content", name, {"actions": [], "pattern": name})

    async with open_users() as other:
        await asyncio.gather(
            *(by.edit_push_rules(user_id, add(f"r{n}")) for n, by in enumerate((users, other, users, other)))
        )
    assert {each["rule_id"] for each in (await users.push_rules(user_id))["global"]["content"]} >= {
        "r0",
        "r1",
        "r2",
        "r3",
    }


async def test_a_refused_edit_changes_nothing(users: Users, new_user: NewUser) -> None:
    user_id = (await new_user()).user_id
    before = await head(users, user_id)

    def edit(overlay: Overlay) -> Overlay:
        return overlay.delete_rule("content", "none")

    with pytest.raises(NotFound):
        await users.edit_push_rules(user_id, edit)
    assert await head(users, user_id) == before
