import asyncio
from collections import Counter

import pytest
from plexus.protocol.errors import InvalidParam, TooLarge, UnknownToken
from plexus.users import KeyCounts, NewDevice, OneTimeKey, Users

from tests.integration.users.conftest import NewUser, OpenUsers, facts, head

ALGORITHM = "signed_curve25519"


def one_time(*names: str, value: bytes = b'{"key":"x"}') -> list[OneTimeKey]:
    return [OneTimeKey(ALGORITHM, name, value) for name in names]


async def count(users: Users, table: str, user_id: str) -> int:
    async with users.read() as read:
        row = await read.one(f"SELECT count(*) FROM users.{table} WHERE user_id = %s", (user_id,))
    assert row is not None
    return int(row[0])


async def test_devices(users: Users, new_user: NewUser) -> None:
    user_id = (await new_user(NewDevice("B", "Desk"))).user_id
    await users.open_session(user_id, NewDevice("A"))
    assert [(each.device_id, each.display_name) for each in await users.devices(user_id)] == [
        ("A", None),
        ("B", "Desk"),
    ]
    assert await users.rename_device(user_id, "A", "Pocket")
    assert not await users.rename_device(user_id, "C", "None")
    device = await users.device(user_id, "A")
    assert device is not None and device.display_name == "Pocket"
    assert await users.device(user_id, "C") is None
    assert await facts(users, user_id) == []


async def test_deleting_a_device_takes_everything_that_is_its_own(users: Users, new_user: NewUser) -> None:
    user_id = (await new_user(NewDevice("A"))).user_id
    await users.open_session(user_id, NewDevice("B"))
    for device_id in ("A", "B"):
        await users.upload_keys(user_id, device_id, b'{"k":1}', one_time("1"), one_time("f"))
    await users.put_messages(user_id, "m.x", {user_id: {"*": {}}})
    before = await head(users, user_id)
    assert await users.delete_devices(user_id, ["A", "nothing"]) == ["A"]
    for table in ("device", "token", "device_key", "one_time_key", "fallback_key", "to_device"):
        assert await count(users, table, user_id) == 1, table
    assert await facts(users, user_id, before) == [("REVOKED", b"A"), ("DEVICE_LIST", b"")]
    assert await users.delete_devices(user_id, ["A"]) == []
    assert await users.query_keys({user_id: []}) == {user_id: {"B": {"k": 1}}}


async def test_deletions_that_overlap_do_not_deadlock(
    users: Users, open_users: OpenUsers, new_user: NewUser
) -> None:
    user_id = (await new_user(NewDevice("D0"))).user_id
    names = [f"D{n}" for n in range(12)]
    for name in names[1:]:
        await users.open_session(user_id, NewDevice(name))
    async with open_users() as other:
        deleted = await asyncio.gather(
            users.delete_devices(user_id, names),
            other.delete_devices(user_id, names[::-1]),
            users.logout_all(user_id),
            other.delete_devices(user_id, names[6:]),
        )
    # The one that logs out everywhere does not say whom it found; it may have been first.
    assert set(Counter(name for each in deleted if each for name in each).values()) <= {1}
    assert await users.devices(user_id) == []


async def test_others_are_told_of_new_keys_and_names(users: Users, new_user: NewUser) -> None:
    user_id = (await new_user(NewDevice("A"))).user_id
    start = list((await users.platform.log.heads(primary=True)).users)

    async def changed() -> bool:
        now = list((await users.platform.log.heads(primary=True)).users)
        found = await users.device_list_changes(start, now)
        assert found is not None
        start[:] = now
        return user_id in found

    await users.upload_keys(user_id, "A", None, one_time("1"))
    assert not await changed()
    await users.upload_keys(user_id, "A", b'{"k":1}')
    assert await changed()
    await users.upload_keys(user_id, "A", b'{"k":1}')
    assert not await changed()
    await users.upload_keys(user_id, "A", b'{"k":2}')
    assert await changed()
    await users.rename_device(user_id, "A", "Pocket")
    assert await changed()
    assert await users.query_keys({user_id: ["A", "B"]}) == {
        user_id: {"A": {"k": 2, "unsigned": {"device_display_name": "Pocket"}}}
    }
    await users.logout(user_id, "A")
    assert await changed()
    assert await users.query_keys({user_id: [], "@unknown:here.example.org": []}) == {user_id: {}}


async def test_one_time_keys_are_counted(users: Users, new_user: NewUser) -> None:
    user_id = (await new_user(NewDevice("A"))).user_id
    assert await users.key_counts(user_id, "A") == KeyCounts({}, [])
    assert await users.upload_keys(user_id, "A", None, one_time("1", "2")) == {ALGORITHM: 2}
    other = [OneTimeKey("curve25519", "1", b'"x"')]
    assert await users.upload_keys(user_id, "A", None, other, one_time("f")) == {
        ALGORITHM: 2,
        "curve25519": 1,
    }
    assert await users.key_counts(user_id, "A") == KeyCounts({ALGORITHM: 2, "curve25519": 1}, [ALGORITHM])
    assert await facts(users, user_id) == [("KEY_COUNTS", b"A")] * 2


async def test_the_same_key_again_is_no_change_and_another_is_refused(
    users: Users, new_user: NewUser
) -> None:
    user_id = (await new_user(NewDevice("A"))).user_id
    await users.upload_keys(user_id, "A", b"{}", one_time("1"))
    before = await head(users, user_id)
    assert await users.upload_keys(user_id, "A", b"{}", one_time("1")) == {ALGORITHM: 1}
    assert await head(users, user_id) == before
    with pytest.raises(InvalidParam, match="signed_curve25519:1"):
        await users.upload_keys(
            user_id, "A", b'{"k":2}', [*one_time("2"), *one_time("1", value=b'{"key":"y"}')], one_time("f")
        )
    # All or nothing.
    assert await head(users, user_id) == before
    assert await users.key_counts(user_id, "A") == KeyCounts({ALGORITHM: 1}, [])
    assert await users.query_keys({user_id: []}) == {user_id: {"A": {}}}


async def test_a_device_that_is_gone_has_no_keys(users: Users, new_user: NewUser) -> None:
    user_id = (await new_user(NewDevice("A"))).user_id
    await users.logout(user_id, "A")
    with pytest.raises(UnknownToken):
        await users.upload_keys(user_id, "A", b"{}", one_time("1"))
    assert await count(users, "one_time_key", user_id) == 0


async def test_a_device_has_a_thousand_keys(users: Users, new_user: NewUser) -> None:
    user_id = (await new_user(NewDevice("A"))).user_id
    await users.upload_keys(user_id, "A", None, one_time(*(str(n) for n in range(1000))))
    with pytest.raises(TooLarge):
        await users.upload_keys(user_id, "A", None, one_time("another"))


async def test_each_key_is_given_away_once(users: Users, open_users: OpenUsers, new_user: NewUser) -> None:
    owner = (await new_user(NewDevice("A"))).user_id
    await users.upload_keys(owner, "A", None, one_time(*(f"{n:02}" for n in range(20))), one_time("f"))
    async with open_users() as other:
        claims = await asyncio.gather(
            *(each.claim_keys([(owner, "A", ALGORITHM)]) for each in (users, other) * 15)
        )
    given = Counter(claim[owner, "A"].key_id for claim in claims)
    assert given.pop("f") == 10
    assert given == {f"{n:02}": 1 for n in range(20)}
    assert await users.key_counts(owner, "A") == KeyCounts({}, [])


async def test_the_oldest_key_first_and_the_fallback_key_for_ever(users: Users, new_user: NewUser) -> None:
    owner = (await new_user(NewDevice("A"))).user_id
    await users.upload_keys(owner, "A", None, one_time("z"))
    await asyncio.sleep(0.005)
    await users.upload_keys(owner, "A", None, one_time("a"), one_time("f"))
    before = await head(users, owner)

    async def claim() -> str:
        return (await users.claim_keys([(owner, "A", ALGORITHM)]))[owner, "A"].key_id

    assert [await claim() for _ in range(4)] == ["z", "a", "f", "f"]
    # Two one-time keys went, and the fallback key was used for the first time; the last claim changed
    # nothing.
    assert await facts(users, owner, before) == [("KEY_COUNTS", b"A")] * 3
    assert (await users.key_counts(owner, "A")).unused_fallback_types == []
    await users.upload_keys(owner, "A", None, (), one_time("g"))
    assert (await users.key_counts(owner, "A")).unused_fallback_types == [ALGORITHM]
    # The same fallback key again stays used.
    assert await claim() == "g"
    await users.upload_keys(owner, "A", None, (), one_time("g"))
    assert (await users.key_counts(owner, "A")).unused_fallback_types == []


async def test_claims_of_many_and_of_nothing(users: Users, new_user: NewUser) -> None:
    owners = [(await new_user(NewDevice("A"))).user_id for _ in range(6)]
    for owner in owners[:4]:
        await users.upload_keys(owner, "A", None, one_time("1"))
    wanted = [(owner, "A", ALGORITHM) for owner in owners] + [
        (owners[0], "B", ALGORITHM),
        (owners[1], "A", "other"),
    ]
    assert set(await users.claim_keys(wanted)) == {(owner, "A") for owner in owners[:4]}


async def test_facts_below_the_floor_are_not_known(users: Users, new_user: NewUser) -> None:
    user_id = (await new_user(NewDevice("A"))).user_id
    await users.upload_keys(user_id, "A", b"{}")
    now = (await users.platform.log.heads(primary=True)).users
    lane = users.lane(user_id)
    async with users.db.write() as write:
        await write.execute(
            "UPDATE lanes.lane SET floor = 1 WHERE family = 'u' AND lane = %s::smallint", (lane,)
        )
    assert await users.device_list_changes([0] * 16, now) is None
    assert await users.device_list_changes([1] * 16, now) is not None
