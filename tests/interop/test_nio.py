"""A whole conversation through matrix-nio, a client that nobody here wrote."""

from __future__ import annotations

import asyncio
import io
import json
import secrets
from collections.abc import AsyncIterator
from typing import Any, TypeVar
from urllib.parse import quote

import nio
import pytest

from tests.support.server import PlexusServer

T = TypeVar("T")
PASSWORD = "a long enough pass phrase"
QUIET = {"presence": {"not_types": ["*"]}}
"""Without who comes and goes: that is news too, and may come late."""


@pytest.fixture
async def clients(plexus: PlexusServer) -> AsyncIterator[tuple[nio.AsyncClient, nio.AsyncClient]]:
    """Two clients of accounts that do not exist yet."""
    suffix = secrets.token_hex(4)
    names = [f"alice-{suffix}", f"bob-{suffix}"]
    pair = [
        nio.AsyncClient(plexus.base_url, name, config=nio.AsyncClientConfig(max_timeouts=1)) for name in names
    ]
    yield pair[0], pair[1]
    for client in pair:
        await client.close()


def expect(kind: type[T], answer: object) -> T:
    assert isinstance(answer, kind), f"wanted {kind.__name__}, got {answer}"
    return answer


async def raw(client: nio.AsyncClient, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """What nio has no call for, over nio's own connection."""
    headers = {"Authorization": f"Bearer {client.access_token}", "Content-Type": "application/json"}
    answer = await client.send(method, path, None if body is None else json.dumps(body), headers)
    return answer.status, await answer.json()


async def long_poll(client: nio.AsyncClient) -> nio.SyncResponse:
    """The next answer of /sync held open for up to 20 s, from where this client's last one ended."""
    return expect(nio.SyncResponse, await client.sync(timeout=20_000, sync_filter=QUIET))


@pytest.mark.parametrize("room_version", ["10", "12"])
async def test_conversation(clients: tuple[nio.AsyncClient, nio.AsyncClient], room_version: str) -> None:
    alice, bob = clients

    # register, log in
    for client in clients:
        answer = expect(nio.RegisterResponse, await client.register(client.user, PASSWORD, "nio"))
        assert answer.user_id.startswith(f"@{client.user}:")
        refused = expect(nio.LoginError, await client.login("not the pass phrase"))
        assert refused.status_code == "M_FORBIDDEN"
        login = expect(nio.LoginResponse, await client.login(PASSWORD, "nio again"))
        assert login.user_id == answer.user_id
        assert login.device_id == answer.device_id, "nio logs in to the device it has"
        assert login.access_token != answer.access_token
        who = expect(nio.WhoamiResponse, await client.whoami())
        assert (who.user_id, who.device_id) == (login.user_id, login.device_id)
        expect(nio.SyncResponse, await client.sync(sync_filter=QUIET))

    # create, invite, join
    created = await alice.room_create(name="The foundation", room_version=room_version)
    room_id = expect(nio.RoomCreateResponse, created).room_id
    state = expect(nio.RoomGetStateEventResponse, await alice.room_get_state_event(room_id, "m.room.create"))
    assert state.content["room_version"] == room_version

    held = asyncio.create_task(long_poll(bob))
    await asyncio.sleep(0.2)
    assert not held.done(), "nothing happened yet, so the poll is held"
    expect(nio.RoomInviteResponse, await alice.room_invite(room_id, bob.user_id))
    invite = (await held).rooms.invite[room_id]
    assert any(getattr(event, "membership", None) == "invite" for event in invite.invite_state)
    expect(nio.JoinResponse, await bob.join(room_id))
    members = expect(nio.JoinedMembersResponse, await alice.joined_members(room_id))
    assert {member.user_id for member in members.members} == {alice.user_id, bob.user_id}
    assert room_id in (await long_poll(bob)).rooms.join

    # send, and receive by a poll that is held when the message comes
    held = asyncio.create_task(long_poll(bob))
    await asyncio.sleep(0.2)
    assert not held.done(), "nothing happened yet, so the poll is held"
    text = {"msgtype": "m.text", "body": "Can you hear me, Bob? äöü 🙂"}
    sent = expect(nio.RoomSendResponse, await alice.room_send(room_id, "m.room.message", text, tx_id="first"))
    (event,) = (await held).rooms.join[room_id].timeline.events
    assert (event.event_id, event.sender, event.body) == (sent.event_id, alice.user_id, text["body"])
    again = expect(
        nio.RoomSendResponse, await alice.room_send(room_id, "m.room.message", text, tx_id="first")
    )
    assert again.event_id == sent.event_id, "a retry is not a second message"

    # paginate backwards, to the room's beginning
    for number in range(25):
        line = {"msgtype": "m.text", "body": f"line {number}"}
        expect(nio.RoomSendResponse, await alice.room_send(room_id, "m.room.message", line))
    # Nobody is promised to see at once what another has sent.
    last = await long_poll(bob)
    while last.rooms.join[room_id].timeline.events[-1].body != "line 24":
        last = await long_poll(bob)
    events: list[Any] = []
    start: str | None = last.next_batch
    while start:
        page = expect(nio.RoomMessagesResponse, await bob.room_messages(room_id, start, limit=7))
        events += page.chunk
        start = page.end
    assert len({event.event_id for event in events}) == len(events), "no event comes twice"
    bodies = [event.body for event in events if isinstance(event, nio.RoomMessageText)]
    assert bodies[::-1] == [text["body"], *(f"line {number}" for number in range(25))]
    assert isinstance(events[-1], nio.RoomCreateEvent), "the way back ends where the room began"

    # redact
    answer = await alice.room_redact(room_id, sent.event_id, "said too loud")
    redaction = expect(nio.RoomRedactResponse, answer)
    (event,) = (await long_poll(bob)).rooms.join[room_id].timeline.events
    assert (event.event_id, event.redacts) == (redaction.event_id, sent.event_id)
    bare = expect(nio.RoomGetEventResponse, await bob.room_get_event(room_id, sent.event_id)).event
    assert isinstance(bare, nio.RedactedEvent)
    assert bare.source["content"] == {}

    # account data, of the account and of the room
    user = quote(alice.user_id, safe="")
    mood = f"/_matrix/client/v3/user/{user}/account_data/org.example.mood"
    assert (await raw(alice, "GET", mood))[0] == 404
    expect(nio.SyncResponse, await alice.sync(sync_filter=QUIET))
    held = asyncio.create_task(long_poll(alice))
    assert await raw(alice, "PUT", mood, {"mood": "cheerful"}) == (200, {})
    (data,) = (await held).account_data_events
    assert data.type == "org.example.mood"
    assert data.content == {"mood": "cheerful"}
    assert await raw(alice, "GET", mood) == (200, {"mood": "cheerful"})
    room_data = (
        f"/_matrix/client/v3/user/{user}/rooms/{quote(room_id, safe='')}/account_data/org.example.colour"
    )
    assert await raw(alice, "PUT", room_data, {"colour": "green"}) == (200, {})
    assert await raw(alice, "GET", room_data) == (200, {"colour": "green"})
    status, refused = await raw(bob, "GET", mood)
    assert (status, refused["errcode"]) == (403, "M_FORBIDDEN")

    # profile: the account, and the member event of the room
    expect(nio.ProfileSetDisplayNameResponse, await alice.set_displayname("Alice A."))
    profile = expect(nio.ProfileGetResponse, await bob.get_profile(alice.user_id))
    assert profile.displayname == "Alice A."
    names: list[str] = []
    while "Alice A." not in names:
        for seen in (await long_poll(bob)).rooms.join[room_id].timeline.events:
            if isinstance(seen, nio.RoomMemberEvent) and seen.state_key == alice.user_id:
                names.append(seen.content["displayname"])

    # upload, download
    file = secrets.token_bytes(200_000)
    upload, _ = await alice.upload(io.BytesIO(file), "image/png", "noise.png", filesize=len(file))
    uri = expect(nio.UploadResponse, upload).content_uri
    download = expect(nio.MemoryDownloadResponse, await bob.download(uri))
    assert (download.body, download.content_type, download.filename) == (file, "image/png", "noise.png")

    # leave, log out
    expect(nio.RoomLeaveResponse, await bob.room_leave(room_id))
    assert room_id in (await long_poll(bob)).rooms.leave
    refused_send = expect(nio.RoomSendError, await bob.room_send(room_id, "m.room.message", text))
    assert refused_send.status_code == "M_FORBIDDEN"
    token = alice.access_token
    for client in clients:
        expect(nio.LogoutResponse, await client.logout())
    alice.access_token = token
    status, refused = await raw(alice, "GET", "/_matrix/client/v3/account/whoami")
    assert (status, refused["errcode"]) == (401, "M_UNKNOWN_TOKEN")
