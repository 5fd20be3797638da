"""The page of what is covered, from made-up notes; and what the recorder refuses."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from plexus.platform.http.hot import Receive, Scope, Send

from tests import coverage
from tests.support import http, spec
from tests.support.recording import Recorder

SEND = "/_matrix/client/v3/rooms/!a%3Ab/send/m.room.message/1"
INVITE = "/_matrix/client/v3/rooms/!a%3Ab/invite"
JSON = "application/json"


@pytest.fixture(scope="module")
def known() -> spec.Spec:
    found = spec.find()
    if found is None:
        pytest.skip(f"the specification is not in {spec.folder()}")
    return found


def take(
    known: spec.Spec, notes: Path, method: str, path: str, sent: object, status: int, body: object
) -> None:
    Recorder(known, notes).take(method, path, orjson.dumps(sent), status, JSON, orjson.dumps(body))


def test_what_is_as_specified_is_noted(known: spec.Spec, tmp_path: Path) -> None:
    take(known, tmp_path, "PUT", SEND, {"body": "x"}, 200, {"event_id": "$x"})
    take(known, tmp_path, "PUT", SEND, ["refused"], 400, {"errcode": "M_BAD_JSON", "error": "no object"})
    take(known, tmp_path, "POST", INVITE, {"user_id": "@a:b"}, 200, {})
    take(known, tmp_path, "GET", "/_matrix/nowhere", None, 404, {"errcode": "M_UNRECOGNIZED"})
    assert coverage.read(tmp_path) == {"sendMessage": {200, 400}, "inviteUser": {200}}


async def test_a_client_notes_which_of_two_operations_it_asked_by_the_query(
    known: spec.Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nobody_is_let_in(_scope: Scope, _receive: Receive, send: Send) -> None:
        headers = [(b"content-type", JSON.encode())]
        await send({"type": "http.response.start", "status": 401, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"errcode":"M_MISSING_TOKEN","error":"no"}'})

    monkeypatch.setattr(http, "recorder", lambda: Recorder(known, tmp_path))
    client = http.AsgiClient(nobody_is_let_in)
    await client.get("/_matrix/client/v3/events", room_id="!a:b")
    assert coverage.read(tmp_path) == {"peekEvents": {401}}
    await client.get("/_matrix/client/v3/events", room_id=None)
    assert coverage.read(tmp_path) == {"peekEvents": {401}, "getEvents": {401}}


@pytest.mark.parametrize(
    ("method", "path", "sent", "status", "body"),
    [
        ("PUT", SEND, ["granted"], 200, {"event_id": "$x"}),
        ("PUT", SEND, {"body": "x"}, 200, {"event_id": "x"}),
        ("PUT", SEND, {"body": "x"}, 200, {}),
        ("PUT", SEND, {"body": "x"}, 403, {"error": "no errcode"}),
        ("POST", INVITE, {"medium": "email"}, 200, {}),
    ],
)
def test_what_is_not_as_specified_fails(
    known: spec.Spec, tmp_path: Path, method: str, path: str, sent: object, status: int, body: object
) -> None:
    with pytest.raises(spec.Violation):
        take(known, tmp_path, method, path, sent, status, body)
    assert coverage.read(tmp_path) == {}


def test_a_page_says_what_is_missing(known: spec.Spec) -> None:
    seen = {"sendMessage": {200, 400}, "inviteUser": {200}, "getVersions": {200}, "ban": {403}, "kick": {404}}
    lines = coverage.page(known, seen).splitlines()
    verdicts = {line.split(" | ")[0].strip("| "): line.rsplit(" | ", 1)[-1].strip(" |") for line in lines}
    assert verdicts["sendMessage"] == "there"
    assert verdicts["inviteUser"] == "no refusal seen"
    assert verdicts["getVersions"] == "there"
    assert verdicts["ban"] == "not seen granted"
    assert verdicts["kick"] == verdicts["unban"] == "not there"


def test_what_client_api_lacks_is_said(known: spec.Spec) -> None:
    owned = {one.id for one in known.owned_by(coverage.WHOLE)}
    assert owned >= coverage.UNBUILT | coverage.REFUSED
    whole = {name: {200, 403} for name in owned - coverage.UNBUILT - coverage.REFUSED}
    whole |= {name: {400} for name in coverage.REFUSED}
    assert coverage.missing(known, whole) == []
    # An exception that is there after all is none any more.
    wrong = {**whole, "ban": {200}, "kick": set(), "getProtocols": {200, 401}}
    assert sorted(coverage.missing(known, wrong)) == [
        "ban: no refusal seen, and should be: there",
        "getProtocols: there, and should be: not there",
        "kick: not there, and should be: there",
    ]
