import asyncio
import time

import pytest
from plexus.platform.lanes import USER, Group, Heads, UserFact
from plexus.protocol.errors import Forbidden, UnknownToken
from plexus.users import NewDevice, Session, Users
from plexus.users.tokens import make_token

from tests.integration.users.conftest import PASSWORD, NewUser, OpenUsers, facts

REFRESHABLE = NewDevice(refreshable=True)


async def works(users: Users, token: str) -> bool:
    try:
        await users.authenticate(token)
    except UnknownToken:
        return False
    return True


async def test_tokens_we_never_made(users: Users) -> None:
    for token in ("", "x", "plx_1_2_3", make_token("plx", 3), make_token("plx", 99), "plx_0_é"):
        with pytest.raises(UnknownToken) as caught:
            await users.authenticate(token)
        assert caught.value.soft_logout is False


async def test_only_hashes_are_stored(users: Users, new_user: NewUser) -> None:
    session = await new_user(REFRESHABLE)
    assert session.refresh_token is not None
    async with users.read() as read:
        rows = await read.fetch("SELECT t::text FROM users.token t WHERE user_id = %s", (session.user_id,))
    assert len(rows) == 1
    assert session.access_token not in rows[0][0]
    assert session.refresh_token not in rows[0][0]
    for token in (session.access_token, session.refresh_token):
        assert token not in repr(session)


async def test_a_warm_look_up_reads_nothing(
    users: Users, new_user: NewUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await new_user()
    first = await users.authenticate(session.access_token)

    async def fail(*_: object) -> None:
        raise AssertionError("the database was asked")

    monkeypatch.setattr(users, "_read_token", fail)
    assert await users.authenticate(session.access_token) is first


async def test_the_follower_keeps_it_warm(users: Users, new_user: NewUser) -> None:
    session = await new_user()
    first = await users.authenticate(session.access_token)
    until = time.monotonic() + 2.5
    while time.monotonic() < until:
        assert await users.authenticate(session.access_token) is first
        await asyncio.sleep(0.02)


async def test_one_confirmation_is_for_all_tokens(
    users: Users, new_user: NewUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asks first after a quiet while has none of them read again."""
    sessions = [await new_user() for _ in range(5)]
    first = [await users.authenticate(session.access_token) for session in sessions]
    assert users._confirming is not None
    users._confirming.cancel()
    await users._confirm_once(5)  # all facts are here
    await asyncio.sleep(1.1)
    heads, asked = users.platform.log.heads, 0

    async def counting(**arguments: bool) -> Heads:
        nonlocal asked
        asked += 1
        return await heads(**arguments)

    async def fail(*_: object) -> None:
        raise AssertionError("a token was read")

    monkeypatch.setattr(users.platform.log, "heads", counting)
    monkeypatch.setattr(users, "_read_token", fail)
    again = await asyncio.gather(*(users.authenticate(session.access_token) for session in sessions * 20))
    assert again == first * 20
    # The users' follower may have looked too.
    assert 1 <= asked <= 2


@pytest.mark.parametrize("how", ["logout", "logout_all", "delete", "password", "deactivate", "login again"])
async def test_a_revoked_token_stops_everywhere_within_a_second(
    users: Users, open_users: OpenUsers, new_user: NewUser, how: str
) -> None:
    session = await new_user(NewDevice("DEVICE"))
    user_id = session.user_id
    async with open_users() as other:
        # Long enough that only the follower keeps it warm.
        for _ in range(60):
            assert await works(other, session.access_token)
            assert await works(users, session.access_token)
            await asyncio.sleep(0.02)
        match how:
            case "logout":
                await users.logout(user_id, "DEVICE")
            case "logout_all":
                await users.logout_all(user_id)
            case "delete":
                assert await users.delete_devices(user_id, ["DEVICE"]) == ["DEVICE"]
            case "password":
                await users.change_password(user_id, "looking glass")
            case "deactivate":
                await users.deactivate(user_id)
            case _:
                await users.open_session(user_id, NewDevice("DEVICE"))
        revoked = time.monotonic()
        assert not await works(users, session.access_token)
        while await works(other, session.access_token):
            assert time.monotonic() - revoked < 1.0
            await asyncio.sleep(0.01)
        # And it stays so.
        await asyncio.sleep(0.5)
        assert not await works(other, session.access_token)


async def test_within_a_second_also_when_the_follower_stands_still(
    users: Users, open_users: OpenUsers, new_user: NewUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_users() as other:
        session = await new_user()
        assert await works(other, session.access_token)
        await other._follower.stop()
        monkeypatch.setattr(other.tokens, "see", lambda facts: None)
        await users.logout(session.user_id, session.device_id)
        revoked = time.monotonic()
        while await works(other, session.access_token):
            assert time.monotonic() - revoked < 1.0
            await asyncio.sleep(0.01)


async def test_another_device_is_not_touched(users: Users, new_user: NewUser) -> None:
    session = await new_user()
    other = await users.open_session(session.user_id, NewDevice())
    await works(users, other.access_token)
    await users.logout(session.user_id, session.device_id)
    assert await works(users, other.access_token)


async def test_logging_in_again_keeps_the_device_and_replaces_its_token(
    users: Users, new_user: NewUser
) -> None:
    session = await new_user(NewDevice("PHONE", "My phone"))
    await users.upload_keys(session.user_id, "PHONE", b'{"k":1}')
    again = await users.login_password(session.user_id, PASSWORD, NewDevice("PHONE", "Another name"))
    assert again.device_id == "PHONE"
    assert not await works(users, session.access_token)
    assert await works(users, again.access_token)
    [device] = await users.devices(session.user_id)
    assert device.display_name == "My phone"
    assert (await users.query_keys({session.user_id: []}))[session.user_id]["PHONE"]["k"] == 1


async def test_too_many_devices(open_users: OpenUsers, new_user: NewUser) -> None:
    async with open_users(sessions={"max_devices": 2}) as limited:
        session = await new_user(NewDevice("A"), by=limited)
        await limited.open_session(session.user_id, NewDevice("B"))
        with pytest.raises(Forbidden):
            await limited.open_session(session.user_id, NewDevice("C"))
        await limited.open_session(session.user_id, NewDevice("A"))


def tokens(session: Session) -> tuple[str, str]:
    assert session.refresh_token is not None
    return session.access_token, session.refresh_token


async def test_refresh_rotates_when_the_new_token_is_used(users: Users, new_user: NewUser) -> None:
    session = await new_user(REFRESHABLE)
    old_access, old_refresh = tokens(session)
    assert session.expires_in_ms == 60 * 60_000
    new_access, new_refresh = tokens(await users.refresh(old_refresh))
    # Not used yet: everything still works.
    assert await works(users, old_access)
    assert await works(users, new_access)
    # Used now: what it replaced is gone.
    assert not await works(users, old_access)
    with pytest.raises(UnknownToken):
        await users.refresh(old_refresh)
    third_access, _ = tokens(await users.refresh(new_refresh))
    assert await works(users, third_access)
    assert not await works(users, new_access)


async def test_a_lost_answer_can_be_asked_for_again(users: Users, new_user: NewUser) -> None:
    session = await new_user(REFRESHABLE)
    _, refresh = tokens(session)
    lost_access, lost_refresh = tokens(await users.refresh(refresh))
    access, _ = tokens(await users.refresh(refresh))
    assert not await works(users, lost_access)
    with pytest.raises(UnknownToken):
        await users.refresh(lost_refresh)
    assert await works(users, access)


async def test_using_the_new_refresh_token_revokes_the_old_one(users: Users, new_user: NewUser) -> None:
    session = await new_user(REFRESHABLE)
    old_access, old_refresh = tokens(session)
    _, new_refresh = tokens(await users.refresh(old_refresh))
    last_access, _ = tokens(await users.refresh(new_refresh))
    with pytest.raises(UnknownToken):
        await users.refresh(old_refresh)
    assert not await works(users, old_access)
    assert await works(users, last_access)


async def test_one_chain_however_many_refresh_at_once(
    users: Users, open_users: OpenUsers, new_user: NewUser
) -> None:
    session = await new_user(REFRESHABLE)
    _, refresh = tokens(session)
    async with open_users() as other:
        made = await asyncio.gather(*(each.refresh(refresh) for each in (users, other) * 5))
        alive = [each for each in made if await works(users, each.access_token)]
    assert len(alive) == 1
    async with users.read() as read:
        assert await read.one("SELECT count(*) FROM users.token WHERE user_id = %s", (session.user_id,)) == (
            1,
        )


async def test_an_expired_token_is_a_soft_logout(
    open_users: OpenUsers, users: Users, new_user: NewUser
) -> None:
    session = await new_user(REFRESHABLE)
    access, refresh = tokens(session)
    async with users.db.write() as write:
        await write.execute("UPDATE users.token SET expires_ts = 1 WHERE user_id = %s", (session.user_id,))
    async with open_users() as other:
        with pytest.raises(UnknownToken) as caught:
            await other.authenticate(access)
        assert caught.value.body()["soft_logout"] is True
        fresh = await other.refresh(refresh)
        assert await works(other, fresh.access_token)


async def test_an_old_refresh_token_is_a_soft_logout(users: Users, new_user: NewUser) -> None:
    _, refresh = tokens(session := await new_user(REFRESHABLE))
    async with users.db.write() as write:
        await write.execute("UPDATE users.token SET created_ts = 1 WHERE user_id = %s", (session.user_id,))
    with pytest.raises(UnknownToken) as caught:
        await users.refresh(refresh)
    assert caught.value.soft_logout is True


async def test_who_cannot_refresh_gets_a_token_that_lasts(users: Users, new_user: NewUser) -> None:
    session = await new_user()
    assert (session.refresh_token, session.expires_in_ms) == (None, None)
    with pytest.raises(UnknownToken):
        await users.refresh(session.access_token)


async def test_the_last_use_is_written_every_few_minutes(open_users: OpenUsers, new_user: NewUser) -> None:
    async with open_users() as users:
        session = await new_user(by=users)
        user_id, device_id = session.user_id, session.device_id
        for number in range(100):
            await users.authenticate(session.access_token, f"192.0.2.{number}")
        assert await users.last_seen.flush() == 1
        first = await users.device(user_id, device_id)
        assert first is not None and first.last_seen_ts is not None
        assert first.last_seen_ip == "192.0.2.0"
        await users.authenticate(session.access_token, "192.0.2.200")
        assert await users.last_seen.flush() == 0
    # Another process, or the same one after a restart, knows when it was.
    async with open_users() as users:
        await users.authenticate(session.access_token, "192.0.2.201")
        assert await users.last_seen.flush() == 0
    async with open_users(sessions={"last_seen_minutes": 1}) as users:
        async with users.db.write() as write:
            await write.execute("UPDATE users.device SET last_seen_ts = 5 WHERE user_id = %s", (user_id,))
        await users.authenticate(session.access_token, None)
    # A stop writes what is noted; without an address the old one stays.
    async with open_users() as users:
        last = await users.device(user_id, device_id)
    assert last is not None and last.last_seen_ts is not None
    assert last.last_seen_ts >= first.last_seen_ts
    assert last.last_seen_ip == "192.0.2.0"


async def test_what_is_published_is_what_was_written(
    users: Users, new_user: NewUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The facts in the groups are those in the log: a follower cannot tell which way they came."""
    seen: list[Group] = []
    # Not by a subscription: what is published is meant here, whatever a fan-out makes of it.
    monkeypatch.setattr(users.platform.fanout, "publish", seen.append)
    session = await new_user(NewDevice("A", refreshable=True))
    user_id = session.user_id
    access = (await users.refresh(tokens(session)[1])).access_token
    await works(users, access)
    await users.open_session(user_id, NewDevice("B"))
    await users.upload_keys(user_id, "A", b'{"k":1}')
    await users.set_account_data(user_id, "m.direct", {})
    await users.set_account_data(user_id, "m.tag", {}, "!r:x")
    await users.edit_push_rules(
        user_id, lambda overlay: overlay.set_enabled("override", ".m.rule.master", True)
    )
    await users.set_profile_field(user_id, "displayname", "A")
    await users.put_messages(user_id, "m.x", {user_id: {"*": {}, "A": {}}})
    await users.rename_device(user_id, "A", "name")
    await users.change_password(user_id, "looking glass", keep_device="A")
    assert await users.deactivate(user_id)
    published = [fact for group in seen for fact in group.facts if fact.subject == user_id]
    positions = [fact.position for fact in published]
    assert positions == list(range(positions[0], positions[0] + len(positions)))
    lane = users.lane(user_id)
    logged = await users.platform.log.facts_of(USER, lane, user_id, 0, positions[-1])
    assert published == logged
    assert [(UserFact(fact.kind).name, fact.data) for fact in published] == await facts(users, user_id)
    marks = await users.platform.marks.get(user_id)
    assert marks is not None and marks[USER, lane] == positions[-1]
