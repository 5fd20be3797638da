"""Bad bodies, ids and numbers at every route: the right error, never a 500, and nothing written in part."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.fuzz.plain import Answer
from tests.integration.fuzz.world import Call, Operation, World, fingerprint

MALFORMED = {
    "nothing closed": b'{"a": ',
    "single quotes": b"{'a': 1}",
    "not UTF-8": b'{"a": "\xff\xfe"}',
    "NaN": b'{"a": NaN}',
    "trailing": b'{"a": 1} x',
    "lone surrogate": b'{"a": "\\ud800"}',
    "control character": b'{"a": "\x01"}',
}
DEEP = b'{"a":' * 20_000 + b"1" + b"}" * 20_000
HUGE = b'{"a": "' + b"x" * 3_000_000 + b'"}'
EVENTS = {"sendMessage", "setRoomStateWithKey", "setRoomState"}
"""Their bodies become events, so canonical JSON rules: no floats, no integer past 2^53."""


def takes_json(operation: Operation) -> bool:
    content = operation.spec.get("requestBody", {}).get("content", {})
    return operation.writes and (not content or "application/json" in content)


def json_operations(world: World) -> Iterator[Operation]:
    return (operation for operation in world.operations() if takes_json(operation))


def checked(operation: Operation, answer: Answer, what: str) -> Answer:
    """No 5xx; and an error is a standard one."""
    assert answer.status < 500, f"{operation} given {what}: {answer}"
    if answer.content_type.startswith("text/html"):
        return answer  # a page for a browser says what is wrong in words
    if answer.status == 401 and "flows" in (answer.json or {}):
        return answer  # user-interactive authentication asks for its next stage
    if answer.status >= 400:
        assert answer.errcode, f"{operation} given {what}: an error without errcode: {answer}"
        assert answer.errcode != "M_UNKNOWN" or answer.status != 500
        assert isinstance(answer.json.get("error"), str), f"{operation} given {what}: {answer}"
    return answer


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_json(world: World, name: str) -> None:
    before = fingerprint(world)
    for operation in json_operations(world):
        call = world.good(operation)
        call.raw = MALFORMED[name]
        answer = checked(operation, world.perform(operation, call), name)
        if answer.status // 100 != 2:
            assert answer.errcode in ("M_NOT_JSON", "M_BAD_JSON", "M_FORBIDDEN"), f"{operation}: {answer}"
        else:
            assert "requestBody" not in operation.spec, f"{operation} took {name} for a good body: {answer}"
    assert fingerprint(world) == before


@pytest.mark.parametrize("body", [b"[]", b'"text"', b"1", b"null", b"true"])
def test_a_body_that_is_no_object(world: World, body: bytes) -> None:
    before = fingerprint(world)
    for operation in json_operations(world):
        call = world.good(operation)
        call.raw = body
        answer = checked(operation, world.perform(operation, call), body.decode())
        if answer.status // 100 == 2:
            assert "requestBody" not in operation.spec, f"{operation} took {body!r}: {answer}"
        else:
            assert answer.status in (400, 401), f"{operation}: {answer}"
    assert fingerprint(world) == before


def test_deep_and_huge_bodies(world: World) -> None:
    before = fingerprint(world)
    for operation in json_operations(world):
        for what, body, expected in (
            ("a deep body", DEEP, ("M_BAD_JSON", "M_NOT_JSON")),
            ("a huge body", HUGE, ("M_TOO_LARGE",)),
        ):
            call = world.good(operation)
            call.raw = body
            answer = checked(operation, world.perform(operation, call), what)
            if "requestBody" in operation.spec:
                assert answer.errcode in expected, f"{operation} given {what}: {answer}"
    assert fingerprint(world) == before


@pytest.mark.parametrize(
    "number", [b"1.5", b"1e3", b"1e400", b"9007199254740992", b"-9007199254740992", b"1" * 400, b"-0.0"]
)
def test_numbers_that_no_event_may_hold(world: World, number: bytes) -> None:
    before = fingerprint(world)
    for operation in json_operations(world):
        call = world.good(operation)
        body = json.dumps({**(call.body or {}), "org.example.number": "HERE"}).encode()
        call.raw = body.replace(b'"HERE"', number)
        answer = checked(operation, world.perform(operation, call), number.decode())
        if operation.id in EVENTS:
            # What is no number to any parser may be called no JSON.
            errcodes = ("M_BAD_JSON", "M_NOT_JSON") if float(number) == float("inf") else ("M_BAD_JSON",)
            assert answer.status == 400, f"{operation}: {answer}"
            assert answer.errcode in errcodes, f"{operation}: {answer}"
    if number in (b"1.5", b"1" * 400):  # the others may stand in account data and filters
        assert fingerprint(world)[:3] == before[:3]


BAD_IDS = [
    "",
    "x",
    "!",
    "@",
    "#nocolon",
    "$",
    "!a:" + "b" * 300,
    "@\x00:localhost",
    "../..",
    "%",
    "ä",
    "@a:b:c:d",
    "\ud83d",
]


def test_bad_ids_in_paths(world: World) -> None:
    before = fingerprint(world)
    for operation in world.operations():
        for name in [part[1:-1] for part in operation.path.split("/") if part.startswith("{")]:
            if name in ("type", "eventType", "stateKey", "txnId", "keyName", "fileName", "ruleId"):
                continue  # any text is a good one
            for bad in BAD_IDS:
                call = world.good(operation)
                call.parameters[name] = bad
                checked(operation, world.perform(operation, call), f"{name}={bad!r}")
    assert fingerprint(world)[:3] == before[:3]


def test_bad_query_values(world: World) -> None:
    for operation in world.operations():
        declared = [p["name"] for p in operation.spec.get("parameters", ()) if p["in"] == "query"]
        for name in {*declared, "limit", "from"}:
            for bad in ("", "-1", "1e9", "x" * 5000, "9" * 30, "\x00", "{}", "[", "ä"):
                call = world.good(operation)
                if operation.id == "sync" and name not in ("timeout", "since", "filter"):
                    continue
                call.query = {**call.query, name: bad}
                checked(operation, world.perform(operation, call), f"?{name}={bad[:20]!r}")


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["", "m.room.member", "join", "12", "@bob:localhost", "public", "\x00"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


def test_wrong_types(world: World) -> None:
    """Every member of a good body, one after the other, replaced by anything."""

    operations = list(json_operations(world))

    @settings(
        max_examples=400,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(st.data())
    def throw(data: st.DataObject) -> None:
        operation = data.draw(st.sampled_from(operations))
        call = world.good(operation)
        members = sorted({*(call.body or {}), *members_of(world, operation)}) or ["a"]
        name = data.draw(st.sampled_from(members))
        call.body = {**(call.body or {}), name: data.draw(JSON)}
        checked(operation, world.perform(operation, call), json.dumps(call.body)[:300])

    before = fingerprint(world)[1]
    throw()
    assert fingerprint(world)[1] == before, "membership of the seeded room changed by itself"


def members_of(world: World, operation: Operation) -> set[str]:
    """What the operation's schema says a body may have."""
    content = operation.spec.get("requestBody", {}).get("content", {})
    schema = content.get("application/json", {}).get("schema", {})
    if "$ref" in schema:
        schema = world.specs[operation.service]["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    return set(schema.get("properties", ()))


def test_a_refused_room_is_not_made_in_part(world: World) -> None:
    """createRoom writes many events; one that is refused in the middle leaves no room behind."""
    operation = next(operation for operation in world.operations() if operation.id == "createRoom")
    before = fingerprint(world)[4]
    for body in (
        {"initial_state": [{"type": "m.room.topic", "content": {"topic": 1.5}}]},
        {"initial_state": [{"type": "m.room.name", "content": []}]},
        {"invite": ["not a user"]},
        {"room_version": "nope"},
        {"room_alias_name": "a b:c"},
        {"power_level_content_override": {"users": {"nobody": "much"}}},
        {"creation_content": {"a": 2**60}},
        {"name": "x" * 70_000},
    ):
        answer = checked(operation, world.perform(operation, Call(body=body)), str(body)[:100])
        assert answer.status in (400, 413), f"{str(body)[:100]}: {answer}"
    assert fingerprint(world)[4] == before


def test_a_refused_event_takes_no_transaction_id(world: World) -> None:
    room, txn = quote(world.room_id, safe=""), secrets.token_hex(8)
    path = f"/_matrix/client/v3/rooms/{room}/send/m.room.message/{txn}"
    refused = world.http.request("PUT", path, b'{"body": 1.5}', world.alice.headers)
    assert (refused.status, refused.errcode) == (400, "M_BAD_JSON")
    assert world.put(path, {"msgtype": "m.text", "body": "now right"}, world.alice)["event_id"]
