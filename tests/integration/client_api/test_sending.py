"""Sending: transaction ids, state, redactions, and what is refused without a trace."""

import asyncio
from typing import Any

import orjson
import pytest
from plexus.protocol import ROOM_VERSIONS

from tests.support.house import SERVER, V3, House, Person
from tests.support.http import Pieces, seg

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_transaction_id_sends_once_for_each_device(house: House, alice: Person) -> None:
    room_id = await alice.create_room()
    first = await alice.send(room_id, "one", seg("txn 1/é"))
    before = await house.written()
    assert await alice.send(room_id, "altered", seg("txn 1/é")) == first
    assert await house.written() == before
    # "unique across requests with the same access token": another device's is another one.
    phone = await house.device(alice)
    assert await phone.send(room_id, "one", seg("txn 1/é")) != first
    # The transaction is the endpoint's own.
    redaction = await alice.put(f"{alice.room(room_id)}/redact/{seg(first)}/{seg('txn 1/é')}")
    assert redaction.ok()["event_id"] != first


async def test_a_transaction_is_of_one_path(alice: Person) -> None:
    """ "... the same as a previous request, and the path of the HTTP request is the same" """
    room_id, other = await alice.create_room(), await alice.create_room()
    targets = [await alice.send(room_id, text) for text in ("one", "two")]
    room = alice.room(room_id)
    paths = [
        *(f"{room}/send/{kind}/same" for kind in ("m.room.message", "m.sticker", "org.example.a")),
        f"{alice.room(other)}/send/m.room.message/same",
        *(f"{room}/redact/{seg(target)}/same" for target in targets),
    ]
    sent = [(await alice.put(path, {})).ok()["event_id"] for path in paths]
    assert len(set(sent)) == len(paths)
    assert [(await alice.put(path, {})).ok()["event_id"] for path in paths] == sent
    for target in targets:
        assert (await alice.get(f"{room}/event/{seg(target)}")).ok()["content"] == {}


async def test_transaction_ids_have_255_bytes_at_most(house: House, alice: Person) -> None:
    room_id = await alice.create_room()
    first = await alice.send(room_id, "one", seg("é" * 127 + "a"))
    assert await alice.send(room_id, "one", seg("é" * 127 + "a")) == first
    before = await house.written()
    for txn_id in (seg("é" * 128), "a" * 256, "nul%00"):
        for path, body in (
            (f"send/m.room.message/{txn_id}", {"msgtype": "m.text", "body": "x"}),
            (f"redact/{seg(first)}/{txn_id}", {}),
        ):
            assert (await alice.put(f"{alice.room(room_id)}/{path}", body)).error() == (
                400,
                "M_INVALID_PARAM",
            )
    assert await house.written() == before


async def test_sixteen_at_once_with_one_transaction_id_make_one_event(house: House, alice: Person) -> None:
    room_id = await alice.create_room()
    before = await house.count("rooms.event")
    sent = await asyncio.gather(*(alice.send(room_id, "x", "same") for _ in range(16)))
    assert len(set(sent)) == 1
    assert await house.count("rooms.event") == before + 1


async def test_only_the_sending_device_sees_its_transaction_id(house: House, alice: Person) -> None:
    room_id = await alice.create_room()
    phone = await house.device(alice)
    event_id = await alice.send(room_id, "mine", "t1")
    path = f"{alice.room(room_id)}/event/{seg(event_id)}"
    assert (await alice.get(path)).ok()["unsigned"]["transaction_id"] == "t1"
    assert "transaction_id" not in (await phone.get(path)).ok()["unsigned"]


async def test_state_with_and_without_a_key(alice: Person) -> None:
    room_id = await alice.create_room()
    room = alice.room(room_id)
    for path, content in (
        (f"{room}/state/m.room.topic", {"topic": "no slash"}),
        (f"{room}/state/m.room.topic/", {"topic": "slash"}),
    ):
        event_id = (await alice.put(path, content)).ok()["event_id"]
        for read in (f"{room}/state/m.room.topic", f"{room}/state/m.room.topic/"):
            assert (await alice.get(read)).ok() == content
        whole = (await alice.get(f"{room}/state/m.room.topic", format="event")).ok()
        assert (whole["event_id"], whole["state_key"]) == (event_id, "")
    assert whole["unsigned"]["prev_content"] == {"topic": "no slash"}
    for key in ("a/b", "ü &?#", "%2F", "plain"):
        content = {"key": key}
        (await alice.put(f"{room}/state/{seg('org.x/type')}/{seg(key)}", content)).ok()
        assert (await alice.get(f"{room}/state/{seg('org.x/type')}/{seg(key)}")).ok() == content
    assert (await alice.get(f"{room}/state/org.none")).error() == (404, "M_NOT_FOUND")
    assert (await alice.get(f"{room}/state/m.room.topic", format="yaml")).error() == (400, "M_INVALID_PARAM")


async def test_the_same_state_again_is_the_same_event(house: House, alice: Person) -> None:
    room_id = await alice.create_room()
    path = f"{alice.room(room_id)}/state/org.x/k"
    first = (await alice.put(path, {"a": 1})).ok()
    before = await house.written()
    assert (await alice.put(path, {"a": 1})).ok() == first
    assert await house.written() == before


@pytest.mark.parametrize("version", ROOM_VERSIONS)
async def test_a_redaction_may_be_sent_like_any_event(alice: Person, version: str) -> None:
    room_id = await alice.create_room(room_version=version)
    room = alice.room(room_id)
    target = await alice.send(room_id, "oops")
    content = {"redacts": target, "reason": "typo"}
    sent = (await alice.put(f"{room}/send/m.room.redaction/r", content)).ok()["event_id"]
    assert (await alice.get(f"{room}/event/{seg(target)}")).ok()["content"] == {}
    shown = (await alice.get(f"{room}/event/{seg(sent)}")).ok()
    assert shown["content"]["reason"] == "typo"
    assert shown["redacts"] == shown["content"]["redacts"] == target


async def test_who_may_redact(alice: Person, bob: Person) -> None:
    room_id = await alice.create_room(preset="public_chat")
    await bob.join(room_id)
    hers, his = await alice.send(room_id, "hers"), await bob.send(room_id, "his")
    path = bob.room(room_id) + "/redact/{}/1"
    assert (await bob.put(path.format(seg(hers)))).error() == (403, "M_FORBIDDEN")
    (await bob.put(path.format(seg(his)))).ok()
    (await alice.put(alice.room(room_id) + f"/redact/{seg(his)}/2")).ok()


async def test_a_canonical_alias_must_point_here(alice: Person) -> None:
    room_id, other = await alice.create_room(), await alice.create_room(room_alias_name="other-room")
    path = f"{alice.room(room_id)}/state/m.room.canonical_alias"
    wrong: list[dict[str, Any]] = [
        {"alias": f"#nowhere:{SERVER}"},
        {"alias": f"#other-room:{SERVER}"},
        {"alt_aliases": [f"#other-room:{SERVER}"]},
    ]
    for content in wrong:
        assert (await alice.put(path, content)).error() == (400, "M_BAD_ALIAS")
    invalid: list[dict[str, Any]] = [
        {"alias": "nowhere"},
        {"alias": 5},
        {"alt_aliases": "#a:b"},
        {"alt_aliases": [{}]},
    ]
    for content in invalid:
        assert (await alice.put(path, content)).error() == (400, "M_INVALID_PARAM")
    alias = f"#here-{room_id[1:8].lower()}:{SERVER}"
    (await alice.put(f"{V3}/directory/room/{seg(alias)}", {"room_id": room_id})).ok()
    (await alice.put(path, {"alias": alias})).ok()
    # "Servers do not validate aliases which are ... already present"
    (await alice.delete(f"{V3}/directory/room/{seg(alias)}")).ok()
    (await alice.put(path, {"alias": alias, "org.x": 1})).ok()
    (await alice.put(path, {})).ok()
    assert other != room_id


DEEP = b'{"a":' * 250 + b"1" + b"}" * 250
BAD_CONTENT: list[tuple[bytes, int, str]] = [
    (b"{", 400, "M_NOT_JSON"),
    (b"nope", 400, "M_NOT_JSON"),
    (b'{"a":"\xff"}', 400, "M_NOT_JSON"),
    (b'{"a":"\\ud800"}', 400, "M_NOT_JSON"),
    (b"[]", 400, "M_BAD_JSON"),
    (b'"text"', 400, "M_BAD_JSON"),
    (b"null", 400, "M_BAD_JSON"),
    (b'{"a":1.5}', 400, "M_BAD_JSON"),
    (b'{"a":{"b":[1e3]}}', 400, "M_BAD_JSON"),
    (b'{"a":9007199254740992}', 400, "M_BAD_JSON"),
    (b'{"a":-9007199254740992}', 400, "M_BAD_JSON"),
    (b'{"a":123456789012345678901234567890}', 400, "M_BAD_JSON"),
    (b'{"a":NaN}', 400, "M_NOT_JSON"),
    (DEEP, 400, "M_BAD_JSON"),
    (b'{"a":"' + b"x" * 66_000 + b'"}', 413, "M_TOO_LARGE"),
    (b'{"a":"' + b"x" * 1_100_000 + b'"}', 413, "M_TOO_LARGE"),
]


@pytest.mark.parametrize("how", ["send/m.room.message/t", "send/org.x/t", "state/org.x/k", "state/org.x"])
@pytest.mark.parametrize(("body", "status", "errcode"), BAD_CONTENT)
async def test_bad_content_leaves_no_trace(
    house: House, alice: Person, how: str, body: bytes, status: int, errcode: str
) -> None:
    room_id = await alice.create_room()
    before = await house.written()
    answer = await alice.request("PUT", f"{alice.room(room_id)}/{how}", body)
    assert (answer.status, answer.errcode) == (status, errcode), answer.body
    assert await house.written() == before
    # A refused transaction id is as good as new.
    (await alice.request("PUT", f"{alice.room(room_id)}/{how}", b'{"a":1}')).ok()


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a":' * 100_000 + b"1" + b"}" * 100_000])
async def test_hostile_depth_is_refused_and_breaks_nothing(house: House, alice: Person, body: bytes) -> None:
    room_id = await alice.create_room()
    before = await house.written()
    for how in ("send/org.x/t", "state/org.x"):
        assert (await alice.request("PUT", f"{alice.room(room_id)}/{how}", body)).status == 400
    assert await house.written() == before


BAD_REQUESTS: list[tuple[str, Any, int, str]] = [
    ("{room}/send/m.room.redaction/t", {}, 400, "M_BAD_JSON"),
    ("{room}/send/m.room.redaction/t", {"redacts": 1}, 400, "M_BAD_JSON"),
    ("{room}/redact/notanevent/t", {}, 400, "M_INVALID_PARAM"),
    ("{room}/redact/%24x/t", {"reason": 1}, 400, "M_BAD_JSON"),
    ("{room}/redact/%24x/" + "t" * 256, {}, 400, "M_INVALID_PARAM"),
    ("{room}/send/m.room.message/" + "t" * 256, {}, 400, "M_INVALID_PARAM"),
    ("{room}/send/" + "x" * 256 + "/t", {}, 413, "M_TOO_LARGE"),
    ("{room}/state/" + "x" * 256, {}, 413, "M_TOO_LARGE"),
    ("{room}/state/org.x/" + "x" * 256, {}, 413, "M_TOO_LARGE"),
    ("{room}/send/m.room.member/t", {"membership": "join"}, 403, "M_FORBIDDEN"),
    ("{room}/send/m.room.create/t", {}, 403, "M_FORBIDDEN"),
    ("{room}/state/m.room.create", {}, 403, "M_FORBIDDEN"),
    ("{room}/state/m.room.power_levels", {"ban": "a"}, 403, "M_FORBIDDEN"),
    ("{room}/state/m.room.member/%40b%3Aelse.org", {"membership": "invite"}, 403, "M_FORBIDDEN"),
    ("{room}/state/org.x/%40somebody%3Aelse.org", {}, 403, "M_FORBIDDEN"),
    (V3 + "/rooms/notaroom/send/m.room.message/t", {}, 400, "M_INVALID_PARAM"),
    (V3 + "/rooms/notaroom/state/org.x", {}, 400, "M_INVALID_PARAM"),
    (V3 + "/rooms/notaroom/redact/%24x/t", {}, 400, "M_INVALID_PARAM"),
    (V3 + "/rooms/!unknown%3Ax.org/send/m.room.message/t", {}, 404, "M_NOT_FOUND"),
    (V3 + "/rooms/!unknown%3Ax.org/state/org.x", {}, 404, "M_NOT_FOUND"),
]


@pytest.mark.parametrize(("path", "body", "status", "errcode"), BAD_REQUESTS)
async def test_bad_requests_leave_no_trace(
    house: House, alice: Person, path: str, body: Any, status: int, errcode: str
) -> None:
    room_id = await alice.create_room()
    before = await house.written()
    answer = await alice.put(path.replace("{room}", alice.room(room_id)), body)
    assert (answer.status, answer.errcode) == (status, errcode), answer.body
    assert await house.written() == before


async def test_the_hot_route_refuses_who_has_no_token(house: House, alice: Person) -> None:
    path = f"{alice.room(await alice.create_room())}/send/m.room.message/t"
    assert (await house.client().put(path)).error() == (401, "M_MISSING_TOKEN")
    answer = await house.client("nonsense").put(path)
    assert answer.error() == (401, "M_UNKNOWN_TOKEN")
    assert answer.json["soft_logout"] is False


async def test_a_body_in_pieces_and_an_empty_one(alice: Person) -> None:
    room_id = await alice.create_room()
    path = f"{alice.room(room_id)}/send/org.x/"
    raw = orjson.dumps({"body": "x" * 5000})
    pieces = Pieces(raw[start : start + 700] for start in range(0, len(raw), 700))
    event_id = (await alice.request("PUT", path + "1", pieces)).ok()["event_id"]
    shown = (await alice.get(f"{alice.room(room_id)}/event/{seg(event_id)}")).ok()
    assert orjson.dumps(shown["content"]) == raw
    (await alice.request("PUT", path + "2", Pieces([b""]))).ok()


async def test_any_content_type_is_json(alice: Person) -> None:
    room_id = await alice.create_room()
    for number, content_type in enumerate(("text/plain", "application/x-www-form-urlencoded", "")):
        headers = {"content-type": content_type}
        for how in (f"send/org.x/{number}", f"state/org.x/{number}"):
            path = f"{alice.room(room_id)}/{how}"
            (await alice.request("PUT", path, b'{"a":1}', headers=headers)).ok()
