"""Reports of events, rooms and users."""

import json
from typing import Any

import pytest
from plexus.client_api.reports import queries

from tests.support.house import SERVER, V3, House, Person, open_house
from tests.support.http import seg
from tests.support.postgres import TestDatabase

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def newest(house: House) -> queries.Report | None:
    return next(iter(await queries.newest(house.platform.db, limit=1)), None)


def user(user_id: str) -> str:
    return f"{V3}/users/{seg(user_id)}/report"


async def test_an_event_is_reported_by_who_is_in_the_room(house: House, alice: Person, bob: Person) -> None:
    room_id = await alice.create_room(preset="public_chat")
    event_id = await alice.send(room_id, "something bad")
    path = f"{bob.room(room_id)}/report/{seg(event_id)}"
    before = await house.count("client_api.report")
    # "When processing event reports, servers MUST verify that the reporting user is currently joined".
    assert (await bob.post(path, {"reason": "bad"})).error() == (404, "M_NOT_FOUND")
    await bob.join(room_id)
    assert (await bob.post(path, {"reason": "bad"})).ok() == {}
    assert await house.count("client_api.report") == before + 1
    kept = await newest(house)
    assert kept is not None
    assert (kept.kind, kept.reporter, kept.reason) == ("event", bob.user_id, "bad")
    assert (kept.room_id, kept.event_id, kept.user_id) == (room_id, event_id, alice.user_id)
    # What the sender takes back afterwards is still known.
    (await alice.put(f"{alice.room(room_id)}/redact/{seg(event_id)}/1", {})).ok()
    assert json.loads(kept.event or "")["content"]["body"] == "something bad"
    # The reason may be left out.
    assert (await bob.post(path)).ok() == {}
    (await bob.post(f"{bob.room(room_id)}/leave")).ok()
    assert (await bob.post(path, {"reason": "bad"})).error() == (404, "M_NOT_FOUND")
    nothing = seg("$nothing")
    assert (await alice.post(f"{alice.room(room_id)}/report/{nothing}")).error() == (404, "M_NOT_FOUND")


async def test_an_event_that_cannot_be_seen_cannot_be_reported(
    house: House, alice: Person, bob: Person
) -> None:
    visibility = {"type": "m.room.history_visibility", "content": {"history_visibility": "joined"}}
    room_id = await alice.create_room(preset="public_chat", initial_state=[visibility])
    event_id = await alice.send(room_id, "before Bob")
    await bob.join(room_id)
    before = await house.count("client_api.report")
    answer = await bob.post(f"{bob.room(room_id)}/report/{seg(event_id)}", {"reason": "?"})
    assert answer.error() == (404, "M_NOT_FOUND")
    # An event of another room neither.
    other = await alice.create_room()
    path = f"{alice.room(other)}/report/{seg(event_id)}"
    assert (await alice.post(path, {"reason": "?"})).error() == (404, "M_NOT_FOUND")
    assert await house.count("client_api.report") == before


async def test_a_room_is_reported_by_anybody(house: House, alice: Person, bob: Person) -> None:
    """ "Servers MUST NOT restrict room reports based on whether or not the reporting user is joined"."""
    room_id = await alice.create_room()
    assert (await bob.post(f"{bob.room(room_id)}/report", {"reason": ""})).ok() == {}
    kept = await newest(house)
    assert kept is not None
    assert (kept.kind, kept.room_id, kept.reporter) == ("room", room_id, bob.user_id)
    assert (kept.event_id, kept.user_id, kept.event, kept.reason) == (None, None, None, "")
    # Nobody learns whether a room is there, and one of elsewhere may be reported.
    elsewhere = "!bad:elsewhere.example.org"
    assert (await bob.post(f"{bob.room(elsewhere)}/report", {"reason": "invited"})).ok() == {}
    kept = await newest(house)
    assert kept is not None
    assert kept.room_id == elsewhere


async def test_a_user_is_reported_by_anybody(house: House, alice: Person, bob: Person) -> None:
    assert (await bob.post(user(alice.user_id), {"reason": "rude"})).ok() == {}
    kept = await newest(house)
    assert kept is not None
    assert (kept.kind, kept.user_id, kept.reporter, kept.room_id) == (
        "user",
        alice.user_id,
        bob.user_id,
        None,
    )
    before = await house.count("client_api.report")
    # Nobody learns whether a user is there.
    assert (await bob.post(user(f"@nobody-here:{SERVER}"), {"reason": "rude"})).ok() == {}
    assert await house.count("client_api.report") == before
    assert (await bob.post(user("@spam:elsewhere.example.org"), {"reason": "rude"})).ok() == {}
    assert await house.count("client_api.report") == before + 1


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({}, (400, "M_MISSING_PARAM")),
        ({"reason": 1}, (400, "M_BAD_JSON")),
        ({"reason": None}, (400, "M_BAD_JSON")),
        ({"reason": "a\0b"}, (400, "M_BAD_JSON")),
        ({"reason": "a" * 4001}, (400, "M_BAD_JSON")),
    ],
)
async def test_bad_reports(
    house: House, alice: Person, bob: Person, body: dict[str, Any], error: tuple[int, str]
) -> None:
    room_id = await alice.create_room()
    event_id = await alice.send(room_id, "a message")
    before = await house.count("client_api.report")
    assert (await alice.post(f"{alice.room(room_id)}/report", body)).error() == error
    assert (await alice.post(user(bob.user_id), body)).error() == error
    if body:
        assert (await alice.post(f"{alice.room(room_id)}/report/{seg(event_id)}", body)).error() == error
    assert await house.count("client_api.report") == before


async def test_what_is_no_identifier(house: House, alice: Person) -> None:
    reason = {"reason": ""}
    assert (await alice.post(user("nobody"), reason)).error() == (400, "M_INVALID_PARAM")
    assert (await alice.post(f"{V3}/rooms/nothing/report", reason)).error() == (400, "M_INVALID_PARAM")
    path = f"{V3}/rooms/{seg('!a:b')}/report"
    assert (await house.client().post(path, reason)).error() == (401, "M_MISSING_TOKEN")


async def test_reports_are_rate_limited(database: TestDatabase, tmp_path_factory: Any) -> None:
    limits = {"enabled": True, "report": {"per_second": 0.001, "burst": 2}}
    async with open_house(database, tmp_path_factory.mktemp("limited"), rate_limits=limits) as limited:
        eve = await limited.person("eve")
        for _ in range(2):
            (await eve.post(user("@spam:elsewhere.example.org"), {"reason": "again"})).ok()
        refused = await eve.post(f"{eve.room('!a:b')}/report", {"reason": "again"})
        assert refused.error() == (429, "M_LIMIT_EXCEEDED")


async def test_the_list_goes_back_and_forgets(house: House, alice: Person) -> None:
    for number in range(3):
        (await alice.post(user("@spam:elsewhere.example.org"), {"reason": f"number {number}"})).ok()
    db = house.platform.db
    two = await queries.newest(db, limit=2)
    assert [report.reason for report in two] == ["number 2", "number 1"]
    [third] = await queries.newest(db, limit=1, before=two[-1].report_id)
    assert third.reason == "number 0"
    assert await queries.remove(db, [two[0].report_id, 2**62]) == {two[0].report_id}
    assert (await queries.newest(db, limit=1))[0] == two[1]
