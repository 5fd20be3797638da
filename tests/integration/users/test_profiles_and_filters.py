import asyncio

import pytest
from plexus.platform.clock import ManualClock
from plexus.protocol.errors import Forbidden, InvalidParam, MatrixError
from plexus.users import RoomTask, Users
from plexus.users import filters as filters_module

from tests.integration.users.conftest import NewUser, OpenUsers, facts


async def test_fields_of_a_profile(users: Users, new_user: NewUser) -> None:
    user_id = (await new_user()).user_id
    assert await users.profile(user_id) == {}
    assert await users.set_profile_field(user_id, "displayname", "Älice")
    assert await users.set_profile_field(user_id, "org.example.x", {"a": [1, 2.5, None]})
    assert not await users.set_profile_field(user_id, "displayname", "Älice")
    assert await users.profile(user_id) == {"displayname": "Älice", "org.example.x": {"a": [1, 2.5, None]}}
    assert await users.delete_profile_field(user_id, "displayname")
    assert not await users.delete_profile_field(user_id, "displayname")
    assert await users.profile(user_id) == {"org.example.x": {"a": [1, 2.5, None]}}
    assert await facts(users, user_id) == [
        ("PROFILE", b"displayname"),
        ("PROFILE", b"org.example.x"),
        ("PROFILE", b"displayname"),
    ]


async def test_profiles_of_many(users: Users, new_user: NewUser) -> None:
    ids = [(await new_user()).user_id for _ in range(5)]
    for user_id in ids:
        await users.set_profile_field(user_id, "displayname", user_id)
    found = await users.profiles([*ids, "@unknown:here.example.org", ids[0]])
    assert found == {user_id: {"displayname": user_id} for user_id in ids}
    assert await users.profile("@unknown:here.example.org") is None
    with pytest.raises(Forbidden):
        await users.set_profile_field("@unknown:here.example.org", "displayname", "x")


async def test_a_profile_has_64_kib(users: Users, new_user: NewUser) -> None:
    user_id = (await new_user()).user_id
    results = await asyncio.gather(
        *(users.set_profile_field(user_id, f"org.example.{n}", "x" * 16_000) for n in range(8)),
        return_exceptions=True,
    )
    refused = [result for result in results if isinstance(result, MatrixError)]
    assert len(refused) == 4
    assert {error.errcode for error in refused} == {"M_PROFILE_TOO_LARGE"}
    # A field may replace itself.
    field = next(iter(await users.profile(user_id) or {}))
    assert await users.set_profile_field(user_id, field, "y" * 16_000)


async def test_a_name_owes_something_to_the_rooms(
    users: Users, open_users: OpenUsers, new_user: NewUser
) -> None:
    user_id = (await new_user()).user_id
    await users.set_profile_field(user_id, "org.example.x", 1)
    assert await users.claim_room_tasks(user_id=user_id) == []
    await users.set_profile_field(user_id, "displayname", "A")
    async with open_users() as other:
        claimed = [
            task
            for tasks in await asyncio.gather(
                *(each.claim_room_tasks(user_id=user_id) for each in (users, other) * 3)
            )
            for task in tasks
        ]
        assert claimed == [RoomTask(user_id, "profile", 1)]
        assert await other.renew_room_task(claimed[0])
        # It changes again while somebody works on it: that work is not the last.
        await users.set_profile_field(user_id, "avatar_url", "mxc://x/y")
        assert not await other.renew_room_task(claimed[0])
        assert not await other.finish_room_task(claimed[0])
        [again] = await users.claim_room_tasks(user_id=user_id)
        assert again.version == 2
        assert await users.finish_room_task(again)
        assert await other.claim_room_tasks(user_id=user_id) == []


async def test_a_task_whose_worker_died_is_claimed_again(users: Users, new_user: NewUser) -> None:
    user_id = (await new_user()).user_id
    await users.set_profile_field(user_id, "displayname", "A")
    clock = ManualClock(users.clock.now_ms())
    users.clock = clock
    assert len(await users.claim_room_tasks(user_id=user_id, lease_ms=1000)) == 1
    assert await users.claim_room_tasks(user_id=user_id) == []
    clock.advance(1.0)
    assert len(await users.claim_room_tasks(user_id=user_id)) == 1


async def test_the_same_filter_has_the_same_id(
    users: Users, open_users: OpenUsers, new_user: NewUser
) -> None:
    user_id = (await new_user()).user_id
    definition = {"room": {"timeline": {"limit": 5}}, "event_fields": ["type"]}
    async with open_users() as other:
        ids = await asyncio.gather(*(each.put_filter(user_id, definition) for each in (users, other) * 4))
        assert len(set(ids)) == 1
        turned = {"event_fields": ["type"], "room": {"timeline": {"limit": 5}}}
        assert await users.put_filter(user_id, turned) == ids[0]
        second = await users.put_filter(user_id, {})
        assert second != ids[0]
        assert await other.filter(user_id, second) == b"{}"


async def test_filters_are_remembered(
    users: Users, new_user: NewUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    user_id = (await new_user()).user_id
    filter_id = await users.put_filter(user_id, {"room": {}})

    def fail() -> None:
        raise AssertionError("the database was asked")

    monkeypatch.setattr(users, "read", fail)
    assert await users.filter(user_id, filter_id) == b'{"room":{}}'


@pytest.mark.parametrize(
    "filter_id", ["", "-1", "+0", "00", " 0", "0 ", "x", "1", "99999999999999999999", "٣", "{}"]
)
async def test_what_names_no_filter(users: Users, new_user: NewUser, filter_id: str) -> None:
    user_id = (await new_user()).user_id
    await users.put_filter(user_id, {})
    assert await users.filter(user_id, filter_id) is None
    assert await users.filter("@other:here.example.org", "0") is None


async def test_bad_and_too_many_filters(
    users: Users, new_user: NewUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    user_id = (await new_user()).user_id
    with pytest.raises(MatrixError):
        await users.put_filter(user_id, {"room": 1})
    monkeypatch.setattr(filters_module, "MAX_FILTERS", 3)
    for n in range(3):
        await users.put_filter(user_id, {"room": {"timeline": {"limit": n + 1}}})
    with pytest.raises(InvalidParam):
        await users.put_filter(user_id, {})
    assert await users.put_filter(user_id, {"room": {"timeline": {"limit": 1}}}) == "0"
