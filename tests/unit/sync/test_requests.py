"""The query, filters, cuts and their tokens, and the splicing of a response."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
from plexus.platform.http import ClientGone
from plexus.platform.lanes import SyncToken
from plexus.platform.peer import Peer
from plexus.protocol.errors import BadJson, InvalidParam
from plexus.sync.answer import CHUNK, Response, Sender
from plexus.sync.filters import FilterCache
from plexus.sync.models import STATE, STATE_AFTER, SyncRequest
from plexus.sync.replica import Cut, UserView
from plexus.sync.streams.context import Answer

from tests.support.peers import Reader


async def nothing_stored(user_id: str, filter_id: str) -> bytes | None:
    return None


@pytest.fixture
async def answer() -> Answer:
    cut = Cut(7, (1, 2), (3,))
    view = UserView("@alice:example.org", 0)
    return Answer(view, "D", None, cut, await FilterCache(nothing_stored).get("", None), STATE, 0, 0)


def test_a_query_without_anything_is_an_initial_sync_that_does_not_wait() -> None:
    assert SyncRequest.parse({}, 60) == SyncRequest(None, None, 0, False, STATE, "online")


def test_a_timeout_is_in_milliseconds_and_bounded() -> None:
    assert SyncRequest.parse({"timeout": "1500"}, 60).timeout == 1.5
    assert SyncRequest.parse({"timeout": "999999999"}, 60).timeout == 60


@pytest.mark.parametrize(
    "query",
    [
        {"timeout": "-1"},
        {"timeout": "1.5"},
        {"timeout": "٣"},
        {"timeout": "9" * 400},
        {"full_state": "yes"},
        {"use_state_after": "1"},
        {"set_presence": "away"},
    ],
)
def test_a_query_that_is_not_as_the_spec_has_it_is_refused(query: dict[str, str]) -> None:
    with pytest.raises(InvalidParam):
        SyncRequest.parse(query, 60)


@pytest.mark.parametrize(
    ("query", "keys"),
    [
        ({}, STATE),
        ({"use_state_after": "false", "org.matrix.msc4222.use_state_after": "false"}, STATE),
        ({"use_state_after": "true"}, STATE_AFTER),
        ({"org.matrix.msc4222.use_state_after": "true"}, (b"org.matrix.msc4222.state_after",)),
        (
            {"use_state_after": "true", "org.matrix.msc4222.use_state_after": "true"},
            (b"state_after", b"org.matrix.msc4222.state_after"),
        ),
    ],
)
def test_the_state_has_the_name_in_whose_form_it_was_asked_for(
    query: dict[str, str], keys: tuple[bytes, ...]
) -> None:
    assert SyncRequest.parse(query, 60).state_keys == keys


async def test_a_filter_is_parsed_once_and_shared_by_what_it_shapes() -> None:
    filters = FilterCache(nothing_stored)
    text = '{"room":{"timeline":{"limit":3}}}'
    first = await filters.get("@a:x", text)
    assert await filters.get("@b:x", text) is first
    other = await filters.get("@a:x", '{"room":{"timeline":{"limit":3},"not_rooms":["!r:x"]}}')
    assert other is not first and other.shape is first.shape
    assert not other.wants_room("!r:x") and first.wants_room("!r:x")
    assert (await filters.get("@a:x", '{"room":{"timeline":{"limit":4}}}')).shape is not first.shape


async def test_a_stored_filter_belongs_to_its_user() -> None:
    asked: list[tuple[str, str]] = []

    async def stored(user_id: str, filter_id: str) -> bytes | None:
        asked.append((user_id, filter_id))
        return b'{"room":{"timeline":{"limit":1}}}' if user_id == "@a:x" else None

    filters = FilterCache(stored)
    assert (await filters.get("@a:x", "0")).shape.limit == 1
    await filters.get("@a:x", "0")
    with pytest.raises(InvalidParam):
        await filters.get("@b:x", "0")
    assert asked == [("@a:x", "0"), ("@b:x", "0")]


@pytest.mark.parametrize("text", ["{", '{"room": 3}', '{"event_format":"x"}'])
async def test_a_bad_filter_is_refused(text: str) -> None:
    with pytest.raises((BadJson, InvalidParam)):
        await FilterCache(nothing_stored).get("@a:x", text)


async def test_old_filters_are_forgotten() -> None:
    filters = FilterCache(nothing_stored, size=10)
    for limit in range(1, 50):
        await filters.get("@a:x", f'{{"room":{{"timeline":{{"limit":{limit}}}}}}}')
    assert len(filters._parsed) == len(filters._shapes) == 10


def test_a_cut_is_a_token_and_back() -> None:
    cut = Cut(7, (1, 2), (3,))
    assert cut.token(0) is cut.token(0)
    token = SyncToken.decode(cut.token(44))
    assert (token.generation, token.rooms, token.users, token.to_device) == (7, (1, 2), (3,), 44)
    assert Cut.of_token(token).same_place(cut)


def test_a_cut_covers_what_lies_within_it_in_every_lane() -> None:
    cut = Cut(7, (5, 5), (3,))
    assert cut.covers(Cut(7, (5, 4), (3,)))
    assert not cut.covers(Cut(7, (6, 0), (0,)))
    assert not cut.covers(Cut(7, (0, 0), (4,)))


def test_a_response_is_spliced_in_any_combination(answer: Answer) -> None:
    answer.key_counts = b',"device_one_time_keys_count":{}'
    answer.joined = {"!a:x": b'{"timeline":{}', "!b:x": b'{"timeline":{}'}
    answer.room_account_data = {"!b:x": [b"{}"], "!c:x": [b"{}", b"{}"]}
    answer.left = {"!d:x": b'{"timeline":{}'}
    answer.invited = {"!e:x": b"{}"}
    answer.knocked = {"!f:x": b"{}"}
    answer.account_data = [b"{}"]
    answer.messages = [b"{}"]
    answer.device_lists = b'{"changed":[],"left":[]}'
    response = Response()
    response.open(answer)
    response.close(answer)
    body = orjson.loads(response.take())
    data: dict[str, Any] = {"account_data": {"events": [{}]}}
    assert body == {
        "next_batch": answer.cut.token(0),
        "device_one_time_keys_count": {},
        "account_data": {"events": [{}]},
        "to_device": {"events": [{}]},
        "device_lists": {"changed": [], "left": []},
        "rooms": {
            "join": {
                "!a:x": {"timeline": {}},
                "!b:x": {"timeline": {}} | data,
                "!c:x": {"account_data": {"events": [{}, {}]}},
            },
            "invite": {"!e:x": {}},
            "knock": {"!f:x": {}},
            "leave": {"!d:x": {"timeline": {}}},
        },
    }


def test_an_empty_response_is_small(answer: Answer) -> None:
    response = Response()
    response.open(answer)
    response.close(answer)
    assert orjson.loads(response.take()) == {"next_batch": answer.cut.token(0), "rooms": {"join": {}}}


@pytest.mark.parametrize("keys", [(b"state_after",), (b"x.state_after",), (b"state_after", b"x.state_after")])
async def test_the_state_after_is_there_in_every_room_even_if_empty(
    answer: Answer, keys: tuple[bytes, ...]
) -> None:
    answer.state_keys = keys
    answer.room_account_data = {"!a:x": [b"{}"]}
    answer.ephemeral = {"!b:x": [b"{}"]}
    answer.unread = {"!c:x": b'"unread_notifications":{}'}
    response = Response()
    response.open(answer)
    response.close(answer)
    empty: dict[str, Any] = {key.decode(): {"events": []} for key in keys}
    assert orjson.loads(response.take())["rooms"]["join"] == {
        "!a:x": empty | {"account_data": {"events": [{}]}},
        "!b:x": empty | {"ephemeral": {"events": [{}]}},
        "!c:x": empty | {"unread_notifications": {}},
    }


async def test_a_large_response_is_sent_while_it_is_made(answer: Answer) -> None:
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    response, sender = Response(), Sender(send, Peer())
    response.open(answer)
    for number in range(4):
        answer.joined = {f"!{number}:x": b'{"x":"%b"' % (b"y" * (CHUNK // 2))}
        response.add_rooms(answer)
        await sender.progress(response)
    response.close(answer)
    await sender.finish(response)
    assert [message.get("more_body", False) for message in sent] == [False, True, True, False]
    body = orjson.loads(b"".join(message.get("body", b"") for message in sent))
    assert list(body["rooms"]["join"]) == ["!0:x", "!1:x", "!2:x", "!3:x"]


def of_some_size(answer: Answer) -> Response:
    response = Response()
    response.open(answer)
    answer.joined = {"!a:x": b'{"x":"%b"' % (b"y" * CHUNK)}
    response.add_rooms(answer)
    return response


async def test_the_next_part_is_made_when_the_one_before_has_been_read(answer: Answer) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    reader = Reader()
    for leaves in (False, True):
        reader.has_read.clear()
        progress = asyncio.create_task(Sender(send, reader).progress(of_some_size(answer)))
        await asyncio.sleep(0.05)
        assert sent and not progress.done()
        if leaves:
            reader.leave()
        reader.has_read.set()
        if leaves:
            with pytest.raises(ClientGone):
                await progress
        else:
            await progress


async def test_a_response_ends_when_its_client_has_left(answer: Answer) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    peer = Peer()
    sender, response = Sender(send, peer), of_some_size(answer)
    await sender.progress(Response())
    peer.leave()
    for shown in (Response(), response):
        with pytest.raises(ClientGone):
            await sender.progress(shown)
    assert sent == []
