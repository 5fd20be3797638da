"""Client-Server API, "Server Side Search"."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from plexus.client_api.search.indexing import search_worker

from tests.support.house import V3, House, Person
from tests.support.http import Json, seg

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module", autouse=True)
async def worker(house: House) -> AsyncIterator[None]:
    following = search_worker(house.platform, house.rooms)
    await following.start()
    yield
    await following.stop()


async def search(person: Person, term: str, next_batch: str | None = None, **criteria: Any) -> Json:
    body = {"search_categories": {"room_events": {"search_term": term, **criteria}}}
    answer = (await person.post(f"{V3}/search", body, next_batch=next_batch)).ok()
    found: Json = answer["search_categories"]["room_events"]
    return found


async def heard(person: Person) -> None:
    """Wait until the index has what this person wrote, for somebody else who searches next: who searches
    waits only for what they themselves have written or were told.
    """
    await search(person, "whatever")


def ids(found: Json) -> list[str]:
    return [result["result"]["event_id"] for result in found["results"]]


async def redact(person: Person, room_id: str, event_id: str) -> None:
    (await person.put(f"{person.room(room_id)}/redact/{seg(event_id)}/{seg('r' + event_id)}", {})).ok()


async def test_messages_names_and_topics_are_found_by_their_keys(alice: Person, bob: Person) -> None:
    room_id = await alice.create_room(preset="public_chat", name="The zeppelin club", topic="On zeppelins")
    said = await alice.send(room_id, "A ZEPPELIN flew by")
    await alice.send(room_id, "zeppeline is another word")
    everywhere = await search(alice, "zeppelin")
    assert everywhere["count"] == 2
    types = {result["result"]["type"] for result in everywhere["results"]}
    assert types == {"m.room.message", "m.room.name"}
    assert "zeppelin" in everywhere["highlights"]
    assert all(result["rank"] > 0 for result in everywhere["results"])
    assert ids(await search(alice, "zeppelin", keys=["content.body"])) == [said]
    topic = await search(alice, "zeppelins", keys=["content.topic"])
    assert [result["result"]["content"]["topic"] for result in topic["results"]] == ["On zeppelins"]
    assert ids(await search(alice, "zeppelins", keys=["content.name"])) == []
    result = (await search(alice, "zeppelin", keys=["content.body"]))["results"][0]["result"]
    assert (result["room_id"], result["sender"]) == (room_id, alice.user_id)
    # Only in rooms that the user has been in.
    assert await search(bob, "zeppelin") == {"count": 0, "highlights": ["zeppelin"], "results": []}
    await bob.join(room_id)
    assert (await search(bob, "zeppelin"))["count"] == 2


async def test_the_plain_text_of_a_topic_is_found(alice: Person) -> None:
    room_id = await alice.create_room()
    plain = {"m.text": [{"mimetype": "text/html", "body": "<b>ocarina</b>"}, {"body": "quena"}]}
    path = f"{alice.room(room_id)}/state/m.room.topic/"
    (await alice.put(path, {"topic": "flutes", "m.topic": plain})).ok()
    assert len(ids(await search(alice, "quena"))) == len(ids(await search(alice, "flutes"))) == 1
    assert ids(await search(alice, "ocarina")) == []


async def test_words_are_compared_without_case_and_accents_in_any_script(alice: Person) -> None:
    room_id = await alice.create_room()
    german = await alice.send(room_id, "Die Straße nach Łódź, sagt André")
    chinese = await alice.send(room_id, "我们明天去喝茶吧")
    greek = await alice.send(room_id, "ο Σίσυφος ανεβαίνει")
    for term in ("STRASSE", "lodz", "ANDRE", "straße andré"):
        assert ids(await search(alice, term)) == [german], term
    assert ids(await search(alice, "喝茶")) == ids(await search(alice, "茶")) == [chinese]
    assert ids(await search(alice, "天喝")) == []
    assert ids(await search(alice, "ΣΙΣΥΦΟΣ")) == [greek]
    # "useful for stemming which may change the query terms": as they are written.
    assert "straße" in (await search(alice, "STRASSE"))["highlights"]


async def test_all_words_must_be_there_and_quoted_ones_in_a_row(alice: Person) -> None:
    room_id = await alice.create_room()
    both = await alice.send(room_id, "martians came, and men ran")
    row = await alice.send(room_id, "here men ran with martians")
    await alice.send(room_id, "only martians")
    assert set(ids(await search(alice, "martians men"))) == {both, row}
    assert ids(await search(alice, '"with martians" men')) == [row]
    assert await search(alice, "!? --") == {"count": 0, "highlights": [], "results": []}


async def test_a_redacted_message_is_gone_at_once_and_from_the_index(house: House, alice: Person) -> None:
    room_id = await alice.create_room()
    event_id = await alice.send(room_id, "an indiscretion")
    assert ids(await search(alice, "indiscretion")) == [event_id]
    before = await house.count("client_api.search_document")
    await redact(alice, room_id, event_id)
    found = await search(alice, "indiscretion")
    assert (found["count"], found["results"]) == (0, [])
    assert await house.count("client_api.search_document") == before - 1


async def test_who_has_left_finds_what_was_said_until_then(alice: Person, bob: Person) -> None:
    # The room is world-readable: "it won't include events in rooms that happened after you left".
    world = {"type": "m.room.history_visibility", "content": {"history_visibility": "world_readable"}}
    for initial_state in ([], [world]):
        room_id = await alice.create_room(preset="public_chat", initial_state=initial_state)
        await bob.join(room_id)
        before = await alice.send(room_id, "a valediction before")
        await bob.post(f"{bob.room(room_id)}/leave")
        after = await alice.send(room_id, "a valediction after")
        rooms = {"rooms": [room_id]}
        assert set(ids(await search(alice, "valediction", filter=rooms))) == {before, after}
        assert ids(await search(bob, "valediction", filter=rooms)) == [before]
        (await bob.post(f"{bob.room(room_id)}/forget")).ok()
        assert ids(await search(bob, "valediction", filter=rooms)) == []


async def test_history_visibility_holds_at_the_event(alice: Person, bob: Person) -> None:
    joined = {"type": "m.room.history_visibility", "content": {"history_visibility": "joined"}}
    room_id = await alice.create_room(preset="public_chat", initial_state=[joined])
    await alice.send(room_id, "a secret before")
    await bob.join(room_id)
    after = await alice.send(room_id, "a secret after")
    await heard(alice)
    assert ids(await search(bob, "secret")) == [after]
    # An invite shows nothing.
    closed = await alice.create_room(invite=[bob.user_id])
    await alice.send(closed, "a secret elsewhere")
    assert ids(await search(bob, "secret")) == [after]


async def test_encrypted_rooms_are_left_out(alice: Person) -> None:
    room_id = await alice.create_room(name="Cryptid")
    assert len(ids(await search(alice, "cryptid"))) == 1
    path = f"{alice.room(room_id)}/state/m.room.encryption/"
    (await alice.put(path, {"algorithm": "m.megolm.v1.aes-sha2"})).ok()
    assert ids(await search(alice, "cryptid")) == []


async def test_filters(alice: Person, bob: Person) -> None:
    rooms = [await alice.create_room(preset="public_chat") for _ in range(2)]
    await bob.join(rooms[0])
    mine = await alice.send(rooms[0], "filtered by alice")
    theirs = await bob.send(rooms[0], "filtered by bob")
    other = await alice.send(rooms[1], "filtered elsewhere")
    content = {"msgtype": "m.file", "body": "filtered file", "url": "mxc://here.example.org/a"}
    path = f"{alice.room(rooms[1])}/send/m.room.message/file"
    file: str = (await alice.put(path, content)).ok()["event_id"]
    await heard(bob)
    for event_filter, expected in (
        ({}, {mine, theirs, other, file}),
        ({"rooms": [rooms[0]]}, {mine, theirs}),
        ({"not_rooms": [rooms[0]]}, {other, file}),
        ({"senders": [bob.user_id]}, {theirs}),
        ({"not_senders": [bob.user_id]}, {mine, other, file}),
        ({"types": ["m.room.name"]}, set()),
        ({"types": ["m.room.*"]}, {mine, theirs, other, file}),
        ({"not_types": ["m.room.message"]}, set()),
        ({"contains_url": True}, {file}),
        ({"contains_url": False}, {mine, theirs, other}),
        ({"rooms": []}, set()),
        ({"senders": [bob.user_id], "not_rooms": [rooms[0]]}, set()),
    ):
        found = await search(alice, "filtered", filter=event_filter)
        assert set(ids(found)) == expected, event_filter
        assert found["count"] == len(expected)
    assert len(ids(await search(alice, "filtered", filter={"limit": 3}))) == 3


async def test_order_by_rank_or_recent(alice: Person) -> None:
    room_id = await alice.create_room()
    best = await alice.send(room_id, "falcon falcon")
    long = await alice.send(room_id, "somewhere in this long message there is one falcon among all its words")
    newest = await alice.send(room_id, "a falcon")
    # "The default ordering is rank", "the most relevant results first".
    ranked = await search(alice, "falcon")
    assert ids(ranked) == [best, newest, long]
    ranks = [result["rank"] for result in ranked["results"]]
    assert ranks == sorted(ranks, reverse=True) and len(set(ranks)) == 3
    assert ids(await search(alice, "falcon", order_by="recent")) == [newest, long, best]


@pytest.mark.parametrize("order_by", ["rank", "recent"])
async def test_pages(alice: Person, bob: Person, order_by: str) -> None:
    rooms = [await alice.create_room(preset="public_chat") for _ in range(2)]
    for room_id in rooms:
        await bob.join(room_id)
    said = []
    for number in range(12):
        sender = (alice, bob)[number % 2]
        text = f"paged {number} " + "paged " * (number % 5)
        said.append(await sender.send(rooms[number // 2 % 2], text))
    await heard(bob)
    pages: list[str] = []
    times: list[int] = []
    token = None
    for _ in range(10):
        found = await search(alice, "paged", token, order_by=order_by, filter={"limit": 5, "rooms": rooms})
        pages += ids(found)
        times += [result["result"]["origin_server_ts"] for result in found["results"]]
        assert found["count"] == 12
        token = found.get("next_batch")
        if token is None:
            break
        # What is said meanwhile disturbs nothing.
        await bob.send(rooms[0], f"paged late {len(pages)} paged paged paged paged paged")
    assert len(pages) == 12 and set(pages) == set(said)
    if order_by == "recent":
        assert times == sorted(times, reverse=True)


@pytest.mark.parametrize("order_by", ["rank", "recent"])
async def test_groups_have_pages_of_their_own(alice: Person, bob: Person, order_by: str) -> None:
    rooms = [await alice.create_room(preset="public_chat") for _ in range(2)]
    said: dict[str, set[str]] = {room_id: set() for room_id in rooms}
    by: dict[str, set[str]] = {alice.user_id: set(), bob.user_id: set()}
    for room_id in rooms:
        await bob.join(room_id)
    for number in range(10):
        room_id, sender = rooms[number % 3 % 2], (alice, bob)[number % 4 // 3]
        event_id = await sender.send(room_id, f"grouped {number}")
        said[room_id].add(event_id)
        by[sender.user_id].add(event_id)
    await heard(bob)
    criteria: dict[str, Any] = {
        "order_by": order_by,
        "filter": {"limit": 4, "rooms": rooms},
        "groupings": {"group_by": [{"key": "room_id"}, {"key": "sender"}]},
    }
    first = await search(alice, "grouped", **criteria)
    for key, members in (("room_id", said), ("sender", by)):
        groups = first["groups"][key]
        assert sorted(group["order"] for group in groups.values()) == list(range(1, len(groups) + 1))
        shown = [event_id for group in groups.values() for event_id in group["results"]]
        assert sorted(shown) == sorted(ids(first))
        for value, group in groups.items():
            assert set(group["results"]) <= members[value]
            # "using a token inside a group will return more results from within that group"
            seen, token = list(group["results"]), group.get("next_batch")
            while token is not None:
                page = await search(alice, "grouped", token, **criteria)
                seen += ids(page)
                token = page.get("next_batch")
            assert len(seen) == len(members[value]) and set(seen) == members[value]


async def test_the_context_of_a_result(alice: Person, bob: Person) -> None:
    room_id = await alice.create_room(preset="public_chat")
    await bob.join(room_id)
    (await alice.put(f"{V3}/profile/{seg(alice.user_id)}/displayname", {"displayname": "Old Alice"})).ok()
    before = [await bob.send(room_id, f"before {number}") for number in range(7)]
    hit = await alice.send(room_id, "the contextual one")
    after = [await bob.send(room_id, f"after {number}") for number in range(7)]
    (await alice.put(f"{V3}/profile/{seg(alice.user_id)}/displayname", {"displayname": "New Alice"})).ok()

    def around(context: Json) -> tuple[list[str], list[str]]:
        sides = (context["events_before"], context["events_after"])
        return tuple([event["event_id"] for event in side] for side in sides)  # type: ignore[return-value]

    found = await search(alice, "contextual", event_context={})
    context = found["results"][0]["context"]
    assert around(context) == (before[:1:-1], after[:5])
    assert "profile_info" not in context
    asked = {"before_limit": 1, "after_limit": 2, "include_profile": True}
    context = (await search(alice, "contextual", event_context=asked))["results"][0]["context"]
    assert around(context) == (before[-1:], after[:2])
    # "the historic profile information of the users that sent the events"
    assert context["profile_info"] == {alice.user_id: {"displayname": "Old Alice"}, bob.user_id: {}}
    # The tokens go on from there.
    path = f"{alice.room(room_id)}/messages"
    older = (await alice.get(path, **{"from": context["start"]}, dir="b", limit=1)).ok()
    assert older["chunk"][0]["event_id"] == before[-2]
    newer = (await alice.get(path, **{"from": context["end"]}, dir="f", limit=1)).ok()
    assert newer["chunk"][0]["event_id"] == after[2]
    none = {"before_limit": 0, "after_limit": 0}
    context = (await search(alice, "contextual", event_context=none))["results"][0]["context"]
    assert around(context) == ([], [])
    assert "context" not in (await search(alice, "contextual"))["results"][0]
    assert ids(found) == [hit]


async def test_edits_are_told_with_a_result_and_its_context(alice: Person) -> None:
    room_id = await alice.create_room()
    before = await alice.send(room_id, "something earlier")
    hit = await alice.send(room_id, "the aggregated one")
    edits = {}
    for event_id in (before, hit):
        content = {
            "msgtype": "m.text",
            "body": "* changed",
            "m.new_content": {"msgtype": "m.text", "body": "changed"},
            "m.relates_to": {"rel_type": "m.replace", "event_id": event_id},
        }
        path = f"{alice.room(room_id)}/send/m.room.message/{seg('e' + event_id)}"
        edits[event_id] = (await alice.put(path, content)).ok()["event_id"]
    found = (await search(alice, "aggregated", event_context={"before_limit": 1}))["results"][0]
    shown = {event["event_id"]: event for event in (found["result"], *found["context"]["events_before"])}
    replaced = {
        event_id: event["unsigned"]["m.relations"]["m.replace"]["event_id"]
        for event_id, event in shown.items()
    }
    assert replaced == edits


async def test_the_state_of_the_rooms_found_in(alice: Person, bob: Person) -> None:
    room_id = await alice.create_room(preset="public_chat", name="Stateful")
    await bob.join(room_id)
    await alice.send(room_id, "a stately word")
    await bob.post(f"{bob.room(room_id)}/leave")
    (await alice.put(f"{alice.room(room_id)}/state/m.room.name/", {"name": "Renamed"})).ok()

    async def names(person: Person) -> list[str]:
        state = (await search(person, "stately", include_state=True))["state"]
        assert list(state) == [room_id]
        return [event["content"]["name"] for event in state[room_id] if event["type"] == "m.room.name"]

    assert await names(alice) == ["Renamed"]
    assert await names(bob) == ["Stateful"]
    assert "state" not in await search(alice, "stately")


async def test_bad_requests(house: House, alice: Person) -> None:
    room_events = {"search_term": "x"}
    assert (await alice.post(f"{V3}/search", {"search_categories": {}})).ok() == {"search_categories": {}}
    assert (await alice.post(f"{V3}/search", {})).error() == (400, "M_MISSING_PARAM")
    for bad, errcode in (
        ({}, "M_MISSING_PARAM"),
        ({"search_term": 1}, "M_BAD_JSON"),
        (room_events | {"keys": ["content.msgtype"]}, "M_BAD_JSON"),
        (room_events | {"order_by": "age"}, "M_BAD_JSON"),
        (room_events | {"filter": {"senders": ["nobody"]}}, "M_INVALID_PARAM"),
        (room_events | {"filter": {"rooms": "!a:b"}}, "M_BAD_JSON"),
        (room_events | {"event_context": {"before_limit": -1}}, "M_BAD_JSON"),
        (room_events | {"groupings": {"group_by": [{"key": "type"}]}}, "M_BAD_JSON"),
    ):
        answer = await alice.post(f"{V3}/search", {"search_categories": {"room_events": bad}})
        assert answer.error() == (400, errcode), bad
    for token in ("x", "", "é", "bnVsbA", "W1tdXQ"):
        body = {"search_categories": {"room_events": room_events}}
        answer = await alice.post(f"{V3}/search", body, next_batch=token)
        assert answer.error() == (400, "M_INVALID_PARAM"), token
    answer = await house.client().post(f"{V3}/search", {"search_categories": {}})
    assert answer.error() == (401, "M_MISSING_TOKEN")
