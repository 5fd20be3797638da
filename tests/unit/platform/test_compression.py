"""Compression in the gateway: when, how, and that nothing of the content changes."""

from __future__ import annotations

import gzip
import json
import random
import zlib
from collections.abc import MutableMapping
from typing import Any

import pytest
from plexus.platform.http import Gateway, HotRoute, Receive, Scope, Send, make_app, send_json
from plexus.platform.http.compression import IN_THREAD_FROM, takes_gzip
from plexus.platform.service import Service

from tests.support.http import Answer, AsgiClient
from tests.unit.platform.surroundings import Surroundings, surroundings

GZIP = {"accept-encoding": "gzip"}
JSON_TYPE = (b"content-type", b"application/json")


def text_of(size: int) -> bytes:
    """JSON of this size that compresses about as messages do."""
    words = random.Random(size).choices(["sync", "room", "alice", "bob", "hello", "1790000000"], k=size)
    return json.dumps({"body": " ".join(words)}).encode()[: size - 2] + b'"}'


PARTS = [text_of(300), text_of(IN_THREAD_FROM), text_of(10)]


async def sized(scope: Scope, receive: Receive, send: Send, params: dict[str, str]) -> None:
    await send_json(send, 200, text_of(int(params["size"])))


async def streamed(scope: Scope, receive: Receive, send: Send, params: dict[str, str]) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [JSON_TYPE]})
    for number, part in enumerate(PARTS):
        more = number < len(PARTS) - 1
        await send({"type": "http.response.body", "body": part, "more_body": more})


async def special(scope: Scope, receive: Receive, send: Send, params: dict[str, str]) -> None:
    headers = {
        "image": [(b"content-type", b"image/png")],
        "file": [(b"content-type", b"text/plain"), (b"content-disposition", b"inline")],
        "encoded": [JSON_TYPE, (b"content-encoding", b"br")],
        "range": [JSON_TYPE],
    }[params["kind"]]
    status = 206 if params["kind"] == "range" else 200
    body = text_of(20_000)
    start = {"type": "http.response.start", "status": status, "headers": headers}
    start["headers"] = [*headers, (b"content-length", b"%d" % len(body))]
    await send(start)
    await send({"type": "http.response.body", "body": body})


async def empty(scope: Scope, receive: Receive, send: Send, params: dict[str, str]) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": [JSON_TYPE]})
    await send({"type": "http.response.body", "body": b""})


def gateway(around: Surroundings) -> Gateway:
    hot = [
        HotRoute("GET", path, handler, {"operationId": path})
        for path, handler in {
            "/sized/{size}": sized,
            "/streamed": streamed,
            "/special/{kind}": special,
            "/empty": empty,
        }.items()
    ]
    return Gateway([Service("test", make_app("test"), hot)], around)


@pytest.fixture
def around() -> Surroundings:
    return surroundings()


@pytest.fixture
def client(around: Surroundings) -> AsgiClient:
    return AsgiClient(gateway(around))


def decoded(answer: Answer) -> bytes:
    """The content, which must be compressed, and of the length it says it has."""
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["vary"] == "Accept-Encoding"
    if "content-length" in answer.headers:
        assert int(answer.headers["content-length"]) == len(answer.body)
    return gzip.decompress(answer.body)


@pytest.mark.parametrize("size", [8_192, 100_000, IN_THREAD_FROM, 1_000_000])
async def test_large_answers(client: AsgiClient, around: Surroundings, size: int) -> None:
    answer = await client.request("GET", f"/sized/{size}", headers=GZIP)
    assert decoded(answer) == text_of(size)
    assert len(answer.body) < size / 2
    assert around.metric("plexus_http_compression_input_bytes_total") == size
    assert around.metric("plexus_http_compression_output_bytes_total") == len(answer.body)

    plain = await client.request("GET", f"/sized/{size}")
    assert plain.body == text_of(size)
    assert "content-encoding" not in plain.headers
    assert plain.headers["content-length"] == str(size)
    assert plain.headers["vary"] == "Accept-Encoding"


async def test_small_answers_go_as_they_are(client: AsgiClient) -> None:
    answer = await client.request("GET", "/sized/8191", headers=GZIP)
    assert answer.body == text_of(8_191)
    assert not {"content-encoding", "vary"} & answer.headers.keys()
    with_other_bound = AsgiClient(gateway(surroundings(http={"compress_from_bytes": 1_000})))
    assert decoded(await with_other_bound.request("GET", "/sized/1000", headers=GZIP)) == text_of(1_000)
    never = AsgiClient(gateway(surroundings(http={"compress_from_bytes": 0})))
    assert "vary" not in (await never.request("GET", "/sized/100000", headers=GZIP)).headers


async def test_a_stream_arrives_part_by_part(around: Surroundings) -> None:
    answer = await AsgiClient(gateway(around)).request("GET", "/streamed", headers=GZIP)
    assert decoded(answer) == b"".join(PARTS)
    assert "content-length" not in answer.headers

    # After each message the client can read everything that was sent so far.
    inflate = zlib.decompressobj(31)
    read: list[bytes] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.body":
            read.append(inflate.decompress(message["body"]))

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {
        "type": "http",
        "method": "GET",
        "scheme": "http",
        "path": "/streamed",
        "raw_path": b"/streamed",
        "query_string": b"",
        "headers": [(b"accept-encoding", b"gzip")],
        "client": None,
    }
    await gateway(around)(scope, receive, send)
    assert read == PARTS
    assert inflate.eof


@pytest.mark.parametrize("kind", ["image", "file", "encoded", "range"])
async def test_what_is_never_compressed(client: AsgiClient, kind: str) -> None:
    answer = await client.request("GET", f"/special/{kind}", headers=GZIP)
    assert answer.body == text_of(20_000)
    assert answer.headers.get("content-encoding") == ("br" if kind == "encoded" else None)
    assert answer.headers["content-length"] == "20000"


async def test_head_and_204_are_left_alone(client: AsgiClient) -> None:
    head = await client.request("HEAD", "/sized/100000", headers=GZIP)
    assert head.headers["content-length"] == "100000"
    nothing = await client.request("GET", "/empty", headers=GZIP)
    assert (nothing.status, nothing.body) == (204, b"")
    assert not {"content-encoding", "vary"} & {*head.headers, *nothing.headers}


@pytest.mark.parametrize(
    ("accepted", "takes"),
    [
        ("gzip", True),
        ("GZIP", True),
        ("br, gzip;q=0.1", True),
        ("deflate, x-gzip", True),
        ("*", True),
        ("gzip ; q=1.0, identity ; q=0.5", True),
        ("gzip;q=0", False),
        ("gzip;q=0.000, *", False),
        ("*;q=0", False),
        ("gzip;q=nonsense", False),
        ("identity, gzip;q=0.5", False),
        ("br", False),
        ("", False),
    ],
)
def test_who_takes_gzip(accepted: str, takes: bool) -> None:
    assert takes_gzip([(b"host", b"x"), (b"accept-encoding", accepted.encode())]) is takes
