"""The gateway: routes of every kind, their errors, and what it adds to each answer."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from typing import Annotated, Any

import pytest
from fastapi import Body as FastAPIBody
from fastapi import Depends, FastAPI, Request
from plexus.platform.http import (
    Body,
    Gateway,
    HotRoute,
    MatrixRoute,
    OptionalUser,
    Receive,
    Requester,
    Scope,
    Send,
    User,
    make_app,
    make_router,
    openapi_of,
    read_body,
    send_json,
)
from plexus.platform.service import Service
from plexus.protocol.errors import LimitExceeded, NotFound, UnknownToken
from pydantic import Field
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import StreamingResponse

from tests.support.http import AsgiClient, Pieces
from tests.unit.platform.surroundings import Surroundings, surroundings

V3 = "/_matrix/client/v3"
CORS = {
    "access-control-allow-origin": "*",
    "access-control-allow-methods": "GET, POST, PUT, DELETE, OPTIONS",
    "access-control-allow-headers": "X-Requested-With, Content-Type, Authorization",
}


class Login(Body):
    user: str
    age: int = 0
    nested: dict[str, Any] = Field(default_factory=dict)


class Tokens:
    async def authenticate(self, token: str, address: str | None) -> Requester:
        if token != "good":
            raise UnknownToken(soft_logout=True)
        return Requester("@a:b", "DEV", b"", False, 3)


closed: list[str] = []


async def resource() -> AsyncIterator[str]:
    yield "resource"
    closed.append("resource")


def routes() -> FastAPI:
    app = make_app("test")
    app.state.authenticator = Tokens()
    router = make_router(prefix=V3)

    @router.post("/login/{kind}")
    async def login(kind: str, body: Login, limit: int = 5) -> dict[str, Any]:
        return {"kind": kind, "limit": limit, **body.model_dump()}

    @router.put("/anything")
    async def anything(body: Annotated[dict[str, Any], FastAPIBody()]) -> dict[str, Any]:
        return body

    @router.get("/me")
    async def me(requester: User) -> dict[str, Any]:
        return {"user_id": requester.user_id}

    @router.get("/maybe")
    async def maybe(requester: OptionalUser) -> dict[str, Any]:
        return {"user_id": requester.user_id if requester else None}

    @router.get("/missing")
    async def missing() -> None:
        raise NotFound("No such thing")

    @router.get("/limited")
    async def limited() -> None:
        raise LimitExceeded(1500)

    @router.get("/broken")
    async def broken() -> None:
        raise RuntimeError("the secret plan")

    @router.get("/resource")
    async def with_resource(held: Annotated[str, Depends(resource)]) -> dict[str, Any]:
        assert not closed
        return {"held": held}

    @router.get("/stream")
    async def stream() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            yield b"one "
            yield b"two"

        return StreamingResponse(parts())

    @router.get("/rooms/{roomId}/{key:path}")
    async def rest(roomId: str, key: str, request: Request) -> dict[str, Any]:  # noqa: N803
        assert request.path_params == {"roomId": roomId, "key": key}
        return {"room": roomId, "key": key, "client": request.scope["client_addr"]}

    app.include_router(router)
    return app


async def echo(scope: Scope, receive: Receive, send: Send, params: dict[str, str]) -> None:
    body = await read_body(receive, scope["plexus.max_body"])
    found = {**params, "size": len(body), "client": scope["client_addr"], "scheme": scope["scheme"]}
    await send_json(send, 200, json.dumps(found).encode())


async def hot_broken(scope: Scope, receive: Receive, send: Send, params: dict[str, str]) -> None:
    if params["how"] == "matrix":
        raise NotFound("nothing")
    if params["how"] == "late":
        await send({"type": "http.response.start", "status": 200, "headers": []})
    if params["how"] != "silent":
        raise RuntimeError("the secret plan")


HOT = [
    HotRoute("PUT", V3 + "/rooms/{roomId}/send/{eventType}/{txnId}", echo, {"operationId": "sendMessage"}),
    HotRoute("GET", V3 + "/hot/{how}", hot_broken, {"operationId": "hotBroken"}),
    HotRoute("GET", "/_matrix/federation/v1/hot", echo, {"operationId": "federationHot"}),
]


@pytest.fixture
def around() -> Surroundings:
    closed.clear()
    return surroundings()


@pytest.fixture
def client(around: Surroundings) -> AsgiClient:
    return client_of(around)


def client_of(around: Surroundings, *hot: HotRoute, app: FastAPI | None = None) -> AsgiClient:
    gateway = Gateway([Service("test", app or routes(), [*HOT, *hot])], around)
    return AsgiClient(gateway, recorded=False)


async def test_a_fastapi_route_with_path_query_and_body(client: AsgiClient) -> None:
    answer = await client.post(f"{V3}/login/x%2Fy", {"user": "a", "extra": [1]}, limit=7)
    assert answer.ok() == {
        "kind": "x/y",
        "limit": 7,
        "user": "a",
        "age": 0,
        "nested": {},
        "extra": [1],
    }


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "text/plain", "a", ""])
async def test_any_content_type_is_json(client: AsgiClient, content_type: str) -> None:
    headers = {"content-type": content_type} if content_type else {}
    answer = await client.request("POST", f"{V3}/login/p", b'{"user":"a"}', headers=headers)
    assert answer.ok()["user"] == "a"


@pytest.mark.parametrize(
    ("body", "status", "errcode"),
    [
        (b"", 400, "M_MISSING_PARAM"),
        (b"{}", 400, "M_MISSING_PARAM"),
        (b"{", 400, "M_NOT_JSON"),
        (b"\xff", 400, "M_NOT_JSON"),
        (b"[]", 400, "M_BAD_JSON"),
        (b"null", 400, "M_BAD_JSON"),
        (b'{"user":1}', 400, "M_BAD_JSON"),
        (b'{"user":"a","age":"1"}', 400, "M_BAD_JSON"),
        (b'{"user":"a","age":1.5}', 400, "M_BAD_JSON"),
        (b'{"user":"a","age":true}', 400, "M_BAD_JSON"),
        (b'{"user":"a","nested":[]}', 400, "M_BAD_JSON"),
        (b'{"user":"\\ud800"}', 400, "M_NOT_JSON"),
        (b'{"user":"a","nested":' + b"[" * 300 + b"]" * 300 + b"}", 400, "M_BAD_JSON"),
        (b'{"user":"' + b"a" * 1_100_000 + b'"}', 413, "M_TOO_LARGE"),
    ],
)
async def test_bad_bodies(client: AsgiClient, body: bytes, status: int, errcode: str) -> None:
    answer = await client.request("POST", f"{V3}/login/p", body)
    assert answer.error() == (status, errcode)
    assert CORS.items() <= answer.headers.items()


async def test_an_empty_body_is_an_empty_object(client: AsgiClient) -> None:
    assert (await client.request("PUT", f"{V3}/anything", b"")).ok() == {}


async def test_a_body_in_pieces_and_one_that_breaks_off(around: Surroundings, client: AsgiClient) -> None:
    pieces = Pieces([b'{"us', b'er":', b'"a"}'])
    assert (await client.request("POST", f"{V3}/login/p", pieces)).ok()["user"] == "a"
    big = Pieces([b'{"user":"', *[b"a" * 65536] * 20, b'"}'])
    assert (await client.request("POST", f"{V3}/login/p", big)).error() == (413, "M_TOO_LARGE")
    for path in (f"{V3}/login/p", f"{V3}/anything"):
        method = "POST" if "login" in path else "PUT"
        gone = await client.request(method, path, Pieces([b'{"user"', b":"], broken=True))
        assert gone.status == 0
    gone = await client.request("PUT", f"{V3}/rooms/r/send/t/1", Pieces([b"{"], broken=True))
    assert gone.status == 0
    assert around.metric("http_server_request_duration_seconds_count", http_response_status_code="499") == 1


async def test_bad_parameters(client: AsgiClient) -> None:
    assert (await client.post(f"{V3}/login/p?limit=x", {"user": "a"})).error() == (400, "M_INVALID_PARAM")


async def test_users(client: AsgiClient) -> None:
    assert (await client.get(f"{V3}/me")).error() == (401, "M_MISSING_TOKEN")
    wrong = await client.with_token("bad").get(f"{V3}/me")
    assert wrong.error() == (401, "M_UNKNOWN_TOKEN")
    assert wrong.json["soft_logout"] is True
    assert (await client.with_token("good").get(f"{V3}/me")).ok() == {"user_id": "@a:b"}
    assert (await client.get(f"{V3}/me", access_token="good")).ok() == {"user_id": "@a:b"}
    assert (await client.get(f"{V3}/maybe")).ok() == {"user_id": None}
    assert (await client.with_token("good").get(f"{V3}/maybe")).ok() == {"user_id": "@a:b"}
    assert (await client.with_token("bad").get(f"{V3}/maybe")).status == 401


async def test_errors_of_both_kinds_of_routes(client: AsgiClient, caplog: pytest.LogCaptureFixture) -> None:
    for path in (f"{V3}/missing", f"{V3}/hot/matrix"):
        assert (await client.get(path)).error() == (404, "M_NOT_FOUND")
    limited = await client.get(f"{V3}/limited")
    assert limited.error() == (429, "M_LIMIT_EXCEEDED")
    assert (limited.json["retry_after_ms"], limited.headers["retry-after"]) == (1500, "2")
    for path in (f"{V3}/broken", f"{V3}/hot/now"):
        caplog.clear()
        answer = await client.get(path)
        assert answer.error() == (500, "M_UNKNOWN")
        assert b"secret" not in answer.body
        assert CORS.items() <= answer.headers.items()
        assert "the secret plan" in caplog.text


async def test_a_handler_that_says_nothing_is_answered_for(client: AsgiClient) -> None:
    assert (await client.get(f"{V3}/hot/silent")).error() == (500, "M_UNKNOWN")


async def test_a_fault_after_the_answer_began_ends_the_connection(client: AsgiClient) -> None:
    with pytest.raises(RuntimeError):
        await client.get(f"{V3}/hot/late")


async def test_dependencies_are_closed_after_the_endpoint(client: AsgiClient) -> None:
    assert (await client.get(f"{V3}/resource")).ok() == {"held": "resource"}
    assert closed == ["resource"]


async def test_streams(client: AsgiClient) -> None:
    assert (await client.get(f"{V3}/stream")).body == b"one two"


async def test_path_parameters_are_decoded_once(client: AsgiClient) -> None:
    answer = await client.get(f"{V3}/rooms/%21r%3Aserver/a%2Fb/%2525")
    assert (answer.ok()["room"], answer.ok()["key"]) == ("!r:server", "a/b/%25")
    hot = await client.put(f"{V3}/rooms/%21r%3Aserver/send/m.room%2Fx/%2541")
    assert (hot.ok()["roomId"], hot.ok()["eventType"], hot.ok()["txnId"]) == ("!r:server", "m.room/x", "%41")


@pytest.mark.parametrize(
    ("method", "path", "error"),
    [
        ("GET", "/", (404, "M_UNRECOGNIZED")),
        ("GET", "/_matrix/client/r0/me", (404, "M_UNRECOGNIZED")),
        ("GET", V3 + "/me/", (404, "M_UNRECOGNIZED")),
        ("GET", V3 + "//me", (404, "M_UNRECOGNIZED")),
        ("GET", V3 + "/anything", (405, "M_UNRECOGNIZED")),
        ("BREW", V3 + "/anything", (405, "M_UNRECOGNIZED")),
        ("GET", V3 + "/rooms/%zz/send/a/b", (400, "M_INVALID_PARAM")),
        ("GET", V3 + "/rooms/%ff/x", (400, "M_INVALID_PARAM")),
        ("GET", V3 + "/rooms/%00/x", (400, "M_INVALID_PARAM")),
        ("GET", V3 + "/maybe?access_token=%ff", (400, "M_INVALID_PARAM")),
        ("GET", V3 + "/me?x=%00", (400, "M_INVALID_PARAM")),
        ("GET", V3 + "/rooms/" + "a" * 20_000, (414, "M_TOO_LARGE")),
        ("GET", V3 + "/me?" + "a" * 20_000, (414, "M_TOO_LARGE")),
    ],
)
async def test_what_is_no_route(client: AsgiClient, method: str, path: str, error: tuple[int, str]) -> None:
    answer = await client.request(method, path, b"")
    assert answer.error() == error
    assert CORS.items() <= answer.headers.items()
    if error[0] == 405:
        assert answer.headers["allow"] == "OPTIONS, PUT"


@pytest.mark.parametrize("path", [V3 + "/me", V3 + "/nothing", "/_matrix/media/v3/upload"])
async def test_options_asks_no_token(client: AsgiClient, path: str) -> None:
    answer = await client.request("OPTIONS", path, b"")
    assert (answer.status, answer.body) == (204, b"")
    assert CORS.items() <= answer.headers.items()


async def test_no_cors_between_servers(client: AsgiClient) -> None:
    answer = await client.get("/_matrix/federation/v1/hot")
    assert answer.status == 200
    assert not any(name.startswith("access-control") for name in answer.headers)


async def test_head_is_get(client: AsgiClient) -> None:
    assert (await client.request("HEAD", f"{V3}/maybe", b"")).status == 200
    assert (await client.request("HEAD", f"{V3}/anything", b"")).status == 405


async def test_the_clients_address() -> None:
    forwarded = {"x-forwarded-for": "6.6.6.6, 203.0.113.7", "x-forwarded-proto": "https"}
    trusting = client_of(surroundings(http={"trusted_proxies": ["127.0.0.1/32"]}))
    for path in (f"{V3}/rooms/r/send/t/1", f"{V3}/rooms/r/x"):
        method = "PUT" if "send" in path else "GET"
        for client in (client_of(surroundings()), trusting):
            believed = client is trusting
            seen = (await client.request(method, path, b"", headers=forwarded)).ok()
            assert seen["client"] == ("203.0.113.7" if believed else "127.0.0.1")
            if method == "PUT":
                assert seen["scheme"] == ("https" if believed else "http")
    trusting.address = "198.51.100.1"
    seen = (await trusting.request("GET", f"{V3}/rooms/r/x", b"", headers=forwarded)).ok()
    assert seen["client"] == "198.51.100.1"


async def test_every_answer_has_its_request_id(client: AsgiClient) -> None:
    ids = {(await client.get(path)).headers["x-request-id"] for path in (f"{V3}/maybe", f"{V3}/no", "/%zz")}
    assert len(ids) == 3
    sent = {"x-request-id": "abc-1"}
    assert (await client.request("GET", "/", b"", headers=sent)).headers["x-request-id"] != "abc-1"
    trusting = client_of(surroundings(http={"trusted_proxies": ["127.0.0.1/32"]}))
    assert (await trusting.request("GET", "/", b"", headers=sent)).headers["x-request-id"] == "abc-1"
    evil = {"x-request-id": "a\tb" * 9}
    assert (await trusting.request("GET", "/", b"", headers=evil)).headers["x-request-id"] != "a\tb" * 9


async def test_draining_closes_connections(around: Surroundings, client: AsgiClient) -> None:
    assert "connection" not in (await client.get(f"{V3}/maybe")).headers
    around.drain.begin()
    assert (await client.get(f"{V3}/maybe")).headers["connection"] == "close"


async def test_durations_are_counted_by_template(around: Surroundings, client: AsgiClient) -> None:
    for number in range(3):
        await client.put(f"{V3}/rooms/r{number}/send/t/{number}")
    await client.get(f"{V3}/nothing/{number}")
    name = "http_server_request_duration_seconds_count"
    template = V3 + "/rooms/{roomId}/send/{eventType}/{txnId}"
    assert around.metric(name, http_route=template, http_response_status_code="200") == 3
    assert around.metric(name, http_response_status_code="404") == 1
    assert around.metric("http_server_active_requests") == 0
    assert "r1" not in around.telemetry.prometheus().decode()


@pytest.mark.parametrize(("policy", "logged"), [("all", {200, 404, 500}), ("errors", {500}), ("off", set())])
async def test_the_access_log(policy: str, logged: set[int], caplog: pytest.LogCaptureFixture) -> None:
    client = client_of(surroundings(telemetry={"access_log": policy}))
    with caplog.at_level(logging.INFO):
        await client.with_token("plx_1_secret").get(f"{V3}/maybe?access_token=plx_1_secret")
        await client.get(f"{V3}/maybe")
        await client.get(f"{V3}/nothing")
        await client.get(f"{V3}/broken")
    lines = [record.__dict__["data"] for record in caplog.records if record.getMessage() == "request"]
    assert {line["status"] for line in lines} - {401} == logged
    assert "plx_1_secret" not in str(lines)


def test_what_the_gateway_refuses() -> None:
    with_middleware = make_app("x")
    with_middleware.add_middleware(GZipMiddleware)
    with pytest.raises(ValueError, match="middleware"):
        client_of(surroundings(), app=with_middleware)
    with pytest.raises(ValueError, match="same route"):
        client_of(surroundings(), HOT[0])
    with pytest.raises(ValueError, match="operationId"):
        client_of(surroundings(), HotRoute("GET", "/x", echo, {}))
    mounted = make_app("x")
    mounted.mount("/sub", make_app("y"))
    with pytest.raises(TypeError, match="no route"):
        client_of(surroundings(), app=mounted)


def test_routers_of_every_make_have_matrix_routes() -> None:
    app = make_app("x")

    @app.get("/direct")
    async def direct() -> None: ...

    assert any(isinstance(route, MatrixRoute) for route in app.routes)


def test_the_description_has_hot_and_other_routes() -> None:
    service = Service("test", routes(), HOT)
    paths = openapi_of(service)["paths"]
    assert paths[V3 + "/rooms/{roomId}/send/{eventType}/{txnId}"]["put"]["operationId"] == "sendMessage"
    assert "post" in paths[V3 + "/login/{kind}"]
    assert "sendMessage" not in str(service.app.openapi())
