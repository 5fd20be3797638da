import asyncio

import pytest
from plexus.protocol.errors import (
    Forbidden,
    InvalidUsername,
    LimitExceeded,
    UnknownToken,
    UserDeactivated,
    UserInUse,
    WeakPassword,
)
from plexus.users import NewDevice, Users

from tests.integration.users.conftest import CHEAP, PASSWORD, NewUser, OpenUsers, facts


async def test_register_and_log_in(users: Users, new_user: NewUser) -> None:
    session = await new_user(NewDevice("PHONE", "My phone"))
    assert session.device_id == "PHONE"
    assert (await users.authenticate(session.access_token)).user_id == session.user_id
    again = await users.login_password(session.user_id, PASSWORD, NewDevice())
    localpart = session.user_id[1:].partition(":")[0]
    third = await users.login_password(localpart, PASSWORD, NewDevice())
    assert len({session.device_id, again.device_id, third.device_id}) == 3


@pytest.mark.parametrize("localpart", ["", "UPPER", "sp ace", "é", "a" * 250, "a:b", "\0"])
async def test_localparts_that_are_none(users: Users, localpart: str) -> None:
    with pytest.raises(InvalidUsername):
        await users.register(localpart, PASSWORD)


async def test_a_name_is_given_once_in_a_race(open_users: OpenUsers, users: Users) -> None:
    async with open_users() as other:
        tries = [each.register("raced", PASSWORD, device=NewDevice()) for each in (users, other) * 5]
        results = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(result, UserInUse) for result in results) == 9
    [(user_id, session)] = [result for result in results if isinstance(result, tuple)]
    assert user_id == "@raced:here.example.org"
    assert len(await users.devices(user_id)) == 1
    assert session is not None
    assert await users.authenticate(session.access_token)


async def test_weak_passwords(users: Users) -> None:
    with pytest.raises(WeakPassword):
        await users.register("weak", "short")
    assert await users.account("@weak:here.example.org") is None


async def test_no_session_without_a_device(users: Users) -> None:
    user_id, session = await users.register("nobody-yet", PASSWORD)
    assert session is None
    assert await users.devices(user_id) == []


@pytest.mark.parametrize(
    "user", ["@unknown:here.example.org", "unknown", "@a:elsewhere.org", "@", "", "\0", "@\0:x"]
)
async def test_who_does_not_exist_has_the_wrong_password(users: Users, user: str) -> None:
    with pytest.raises(Forbidden):
        await users.check_password(user, PASSWORD)


async def test_an_unknown_user_takes_as_long_as_a_wrong_password(
    open_users: OpenUsers, new_user: NewUser
) -> None:
    async with open_users(passwords={"hash_time_cost": 4, "hash_memory_kib": 16_384}) as costly:
        user_id = (await new_user(by=costly)).user_id

        async def timed(user: str) -> float:
            began = asyncio.get_running_loop().time()
            with pytest.raises(Forbidden):
                await costly.check_password(user, "wrong")
            return asyncio.get_running_loop().time() - began

        await timed("unknown")
        pairs = [(await timed(user_id), await timed("unknown")) for _ in range(5)]
    # Without a hash it would be a thirtieth; the machine may be busy with other things.
    assert min(unknown for _, unknown in pairs) > 0.3 * min(known for known, _ in pairs)


async def test_an_overlong_password_is_wrong(users: Users, new_user: NewUser) -> None:
    session = await new_user()
    with pytest.raises(Forbidden):
        await users.check_password(session.user_id, "x" * 100_000)


async def test_a_new_cost_is_taken_over_at_the_next_login(
    users: Users, open_users: OpenUsers, new_user: NewUser
) -> None:
    session = await new_user()
    async with open_users(passwords={**CHEAP, "hash_time_cost": 3}) as costlier:
        before = await costlier.account(session.user_id)
        await costlier.login_password(session.user_id, PASSWORD, NewDevice())
        after = await costlier.account(session.user_id)
        assert before is not None and before.password_hash is not None
        assert after is not None and after.password_hash is not None
        assert "t=1" in before.password_hash
        assert "t=3" in after.password_hash
        await costlier.login_password(session.user_id, PASSWORD, NewDevice())
        assert await costlier.account(session.user_id) == after


async def test_failed_logins_throttle_the_account(open_users: OpenUsers, new_user: NewUser) -> None:
    limits = {"login_account": {"per_second": 0.001, "burst": 3}}
    async with open_users(rate_limits=limits) as limited:
        user_id = (await new_user(by=limited)).user_id
        for _ in range(10):
            await limited.check_password(user_id, PASSWORD)
        results = await asyncio.gather(
            *(limited.check_password(user_id, f"guess {n}") for n in range(10)), return_exceptions=True
        )
        # Also those that came at once: only three were tried.
        assert sum(type(result) is Forbidden for result in results) == 3
        assert sum(isinstance(result, LimitExceeded) for result in results) == 7
        with pytest.raises(LimitExceeded) as caught:
            await limited.check_password(user_id, PASSWORD)
        assert caught.value.retry_after_ms > 1000


async def test_logins_throttle_the_address(open_users: OpenUsers, new_user: NewUser) -> None:
    limits = {"login_address": {"per_second": 0.001, "burst": 3}}
    async with open_users(rate_limits=limits) as limited:
        user_id = (await new_user(by=limited)).user_id
        for _ in range(3):
            await limited.check_password(user_id, PASSWORD, address="192.0.2.1")
        with pytest.raises(LimitExceeded):
            await limited.check_password(user_id, PASSWORD, address="192.0.2.1")
        await limited.check_password(user_id, PASSWORD, address="192.0.2.2")


async def test_changing_the_password(users: Users, new_user: NewUser) -> None:
    session = await new_user()
    other = await users.open_session(session.user_id, NewDevice())
    assert await users.change_password(session.user_id, "looking glass", keep_device=session.device_id)
    assert await users.authenticate(session.access_token)
    with pytest.raises(UnknownToken):
        await users.authenticate(other.access_token)
    with pytest.raises(Forbidden):
        await users.check_password(session.user_id, PASSWORD)
    await users.check_password(session.user_id, "looking glass")


async def test_changing_the_password_and_keeping_the_devices(users: Users, new_user: NewUser) -> None:
    session = await new_user()
    await users.change_password(session.user_id, "looking glass", logout_devices=False)
    assert await users.authenticate(session.access_token)
    assert not await users.change_password("@unknown:here.example.org", "looking glass")


async def test_deactivation(users: Users, new_user: NewUser) -> None:
    session = await new_user(NewDevice("D"))
    user_id = session.user_id
    await users.set_profile_field(user_id, "displayname", "Alice")
    await users.set_account_data(user_id, "m.direct", {})
    await users.authenticate(session.access_token)
    assert await users.deactivate(user_id)
    with pytest.raises(UnknownToken):
        await users.authenticate(session.access_token)
    with pytest.raises(UserDeactivated):
        await users.login_password(user_id, PASSWORD, NewDevice())
    with pytest.raises(UserDeactivated):
        await users.open_session(user_id, NewDevice())
    with pytest.raises(UserInUse):
        await users.register(user_id[1:].partition(":")[0], PASSWORD)
    assert await users.profile(user_id) is None
    assert await users.devices(user_id) == []
    assert [each.type for each in await users.account_data_all(user_id)] == ["m.push_rules"]
    assert (await facts(users, user_id))[-3:] == [("REVOKED", b"D"), ("REVOKED", b""), ("DEACTIVATED", b"")]
    [task] = await users.claim_room_tasks(user_id=user_id)
    assert task.kind == "leave"
    assert not await users.deactivate(user_id)


async def test_registration_tokens_are_used_as_often_as_they_may(users: Users, open_users: OpenUsers) -> None:
    assert await users.make_registration_token("three", uses_allowed=3)
    assert not await users.make_registration_token("three")
    async with open_users() as other:
        tries = [
            each.register(f"invited{n}", PASSWORD, registration_token="three")
            for n, each in enumerate((users, other) * 4)
        ]
        results = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(result, tuple) for result in results) == 3
    assert sum(isinstance(result, Forbidden) for result in results) == 5
    for number, result in enumerate(results):
        account = await users.account(f"@invited{number}:here.example.org")
        assert (account is None) == isinstance(result, Forbidden)
    assert not await users.registration_token_is_valid("three")


async def test_a_name_that_is_taken_uses_no_token(users: Users) -> None:
    await users.make_registration_token("one", uses_allowed=1)
    await users.register("taken", PASSWORD)
    with pytest.raises(UserInUse):
        await users.register("taken", PASSWORD, registration_token="one")
    assert await users.registration_token_is_valid("one")


async def test_expired_and_unknown_tokens(users: Users) -> None:
    await users.make_registration_token("old", expires_ts=users.clock.now_ms() - 1)
    assert not await users.registration_token_is_valid("old")
    assert not await users.registration_token_is_valid("unknown")
    with pytest.raises(Forbidden):
        await users.register("late", PASSWORD, registration_token="old")
