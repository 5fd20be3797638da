"""Calls between two processes: who may call, what breaks on the way, and what is run how often."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from google.protobuf.wrappers_pb2 import Int64Value, StringValue
from plexus.platform.calls.messages import DEADLINE, FAULT, content_type, credential
from plexus.platform.http import HotRoute, Receive, Scope, Send, make_app, send_json
from plexus.platform.ports import CallContext, InternalCalls
from plexus.platform.service import Service
from plexus.platform.settings import SettingsError, load_settings
from plexus.platform.telemetry import REQUEST, RequestContext
from plexus.protocol.errors import TooLarge, Unavailable
from pydantic import SecretStr

from deploy.local.program import free_port
from tests.support.authority import Authority
from tests.support.calls import SECRET, Calling, Node

GOOD = {
    "authorization": f"Bearer {credential(SecretStr(SECRET))}",
    "content-type": content_type(StringValue),
    "accept": content_type(StringValue),
    DEADLINE: "5000",
}


class Words:
    """A method that says back what it hears, and remembers it; some words it takes in another way."""

    def __init__(self, calls: InternalCalls) -> None:
        self.heard: list[str] = []
        self.requests: list[RequestContext | None] = []
        self.cut = asyncio.Event()
        self.go = asyncio.Event()
        calls.register("words", "Say", StringValue, StringValue, self.say)

    async def say(self, request: StringValue, context: CallContext) -> StringValue:
        self.heard.append(request.value)
        self.requests.append(REQUEST.get())
        try:
            if request.value == "slow":
                await asyncio.sleep(60)
            elif request.value == "wait":
                await self.go.wait()
            elif request.value == "much":
                return StringValue(value="x" * 100_000)
        except asyncio.CancelledError:
            self.cut.set()
            raise
        return request


async def say(calls: InternalCalls, word: str, deadline_ms: int = 5_000, *, idempotent: bool = False) -> str:
    answer = await calls.call(
        "words",
        "Say",
        StringValue(value=word),
        StringValue,
        deadline_ms=deadline_ms,
        idempotent=idempotent,
    )
    return answer.value


async def post(
    address: str, body: Any = b"", headers: dict[str, str] = GOOD, method: str = "POST", **options: Any
) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, address, data=body, headers=headers, **options) as answer,
    ):
        await answer.read()
        return answer.status, answer.headers.get("content-type", "")


@asynccontextmanager
async def breaking(port: int, first: int) -> AsyncIterator[tuple[str, list[int]]]:
    """The address of a way to ``port`` on which the ``first`` connections end when the answer comes: the
    request has arrived, and its answer never does. The list has an entry for each connection.
    """
    seen: list[int] = []

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data)
        except ConnectionError:
            return

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(len(seen))
        breaks = len(seen) <= first
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", port)
        forth = asyncio.create_task(pass_on(reader, there_writer))
        if breaks:
            await there_reader.read(1)
            writer.transport.abort()
        else:
            await pass_on(there_reader, writer)
        forth.cancel()
        writer.close()
        there_writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", seen
    finally:
        server.close()


async def test_a_deadline_ends_the_caller_and_the_handler() -> None:
    async with Node(secret=SECRET) as node, Calling({"words": node.address}, secret=SECRET) as calling:
        words = Words(node.calls)
        loop = asyncio.get_running_loop()
        began = loop.time()
        with pytest.raises(Unavailable, match="in time"):
            await say(calling.calls, "slow", 2_000, idempotent=True)
        assert loop.time() - began < 5
        await asyncio.wait_for(words.cut.wait(), 5)
        assert words.heard == ["slow"]


async def test_a_callee_that_is_not_there_yet_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    address = {"words": f"http://127.0.0.1:{port}"}
    async with Calling(address, secret=SECRET) as calling:
        with pytest.raises(Unavailable, match="cannot be reached"):
            await say(calling.calls, "nobody")
        # Nothing was sent, so it is tried again although it is not idempotent.
        monkeypatch.setattr("plexus.platform.calls.http._PAUSE_SECONDS", 0.5)
        task = asyncio.create_task(say(calling.calls, "late", 20_000))
        await asyncio.sleep(0.02)
        async with Node(secret=SECRET, listener={"enabled": True, "port": port}) as node:
            words = Words(node.calls)
            assert await task == "late"
            assert words.heard == ["late"]


@pytest.mark.parametrize("idempotent", [False, True])
async def test_a_connection_that_breaks_after_the_call_was_sent(idempotent: bool) -> None:
    async with (
        Node(secret=SECRET) as node,
        breaking(node.port, first=1) as (address, connections),
        Calling({"words": address}, secret=SECRET) as calling,
    ):
        words = Words(node.calls)
        if idempotent:
            assert await say(calling.calls, "again", idempotent=True) == "again"
            assert words.heard == ["again", "again"]
            assert len(connections) == 2
        else:
            with pytest.raises(Unavailable, match="cannot be reached"):
                await say(calling.calls, "once")
            await asyncio.sleep(0.3)
            assert words.heard == ["once"]
            assert len(connections) == 1


async def test_tries_end_with_the_deadline() -> None:
    async with (
        Node(secret=SECRET) as node,
        breaking(node.port, first=1_000) as (address, connections),
        Calling({"words": address}, secret=SECRET) as calling,
    ):
        Words(node.calls)
        with pytest.raises(Unavailable):
            await say(calling.calls, "again", 60_000, idempotent=True)
        assert len(connections) == 4
        with pytest.raises(Unavailable):
            await say(calling.calls, "again", 20, idempotent=True)
        assert len(connections) <= 6


async def test_a_callee_that_dies_and_comes_back_is_called_on_a_new_connection() -> None:
    port = free_port()
    listener = {"enabled": True, "port": port}
    async with Calling({"words": f"http://127.0.0.1:{port}"}, secret=SECRET) as calling:
        for word in ("before", "after"):
            async with Node(secret=SECRET, listener=listener) as node:
                Words(node.calls)
                assert await say(calling.calls, word, idempotent=True) == word


async def test_without_the_secret_nothing_is_run(caplog: pytest.LogCaptureFixture) -> None:
    async with Node(secret=SECRET) as node:
        words = Words(node.calls)
        at = f"{node.address}/words/Say"
        body = StringValue(value="x").SerializeToString()
        for given, status in {
            "": 401,
            "Bearer": 401,
            f"Basic {SECRET}": 401,
            f"Bearer {SECRET}": 403,
            GOOD["authorization"][:-1]: 403,
            GOOD["authorization"] + "x": 403,
            "Bearer é": 403,
        }.items():
            assert (await post(at, body, {**GOOD, "authorization": given}))[0] == status, given
        # Whoever may not call does not learn either what there is.
        unknown = {**GOOD, "authorization": "Bearer no"}
        assert (await post(f"{node.address}/words/Nothing", body, unknown))[0] == 403
        without = {name: value for name, value in GOOD.items() if name != "authorization"}
        assert (await post(at, body, without))[0] == 401
        async with Calling({"words": node.address}, secret="another-secret-of-16") as calling:
            with caplog.at_level(logging.ERROR), pytest.raises(Unavailable) as caught:
                await say(calling.calls, "x")
        assert "calls.secret" in caplog.text
        assert "secret" not in caught.value.message
        assert words.heard == []
        assert (await post(at, body))[0] == 200
        assert words.heard == ["x"]


async def test_what_is_no_call_is_refused() -> None:
    async with Node(secret=SECRET, max_message_bytes=65_536) as node:
        words = Words(node.calls)
        at = f"{node.address}/words/Say"
        body = StringValue(value="x").SerializeToString()
        assert (await post(f"{node.address}/words/Nothing", body))[0] == 404
        assert (await post(f"{node.address}/", body))[0] == 404
        assert (await post(at, b"\xff\xff\xff"))[0] == 400
        assert (await post(at, method="GET"))[0] == 405
        for deadline in ("", "-1", "x", "1e3", "9" * 10):
            assert (await post(at, body, {**GOOD, DEADLINE: deadline}))[0] == 400, deadline
        assert (await post(at, body, {**GOOD, "content-type": content_type(Int64Value)}))[0] == 415
        assert (await post(at, body, {**GOOD, "accept": "*/*"}))[0] == 406
        assert (await post(at, b"x" * 65_537))[0] == 413

        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(100):
                yield b"x" * 1_000

        assert (await post(at, pieces()))[0] == 413
        assert (await post(at, body, {**GOOD, DEADLINE: "0"})) == (503, FAULT)
        assert words.heard == []


async def test_sizes_are_bounded_on_both_sides() -> None:
    async with (
        Node(secret=SECRET, max_message_bytes=65_536) as small,
        Node(secret=SECRET) as large,
        Calling({"words": small.address}, secret=SECRET) as calling,
        Calling({"words": large.address}, secret=SECRET, max_message_bytes=65_536) as bounded,
    ):
        words = Words(small.calls)
        Words(large.calls)
        with pytest.raises(TooLarge):
            await say(calling.calls, "x" * 70_000)
        with pytest.raises(TooLarge):
            await say(bounded.calls, "x" * 70_000)
        assert words.heard == []
        for caller in (calling, bounded):
            with pytest.raises(Unavailable, match="too large"):
                await say(caller.calls, "much")


async def test_an_answer_that_is_none() -> None:
    kinds = [GOOD["accept"].encode(), FAULT.encode(), b"text/html"]
    left = iter(kinds)

    async def nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        kind = next(left)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-type: %b\r\n\r\n\xff\xff" % kind)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(nonsense, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with Calling({"words": address}, secret=SECRET) as calling:
        for _ in kinds:
            with pytest.raises(Unavailable):
                await say(calling.calls, "x")
    server.close()


async def test_certificates_of_both_sides(tmp_path: Path) -> None:
    ours, theirs = Authority(tmp_path / "ours"), Authority(tmp_path / "theirs")
    mixed = {**theirs.issue("stranger"), "ca_file": str(ours.file)}
    async with Node(**ours.issue("federation")) as node:
        words = Words(node.calls)
        at = {"words": node.address}
        async with Calling(at, **ours.issue("client-api")) as calling:
            assert await say(calling.calls, "known") == "known"
        # Of another authority: refused by the callee; by the caller, who would not tell it anything.
        for certificate in (mixed, theirs.issue("other")):
            async with Calling(at, **certificate) as calling:
                with pytest.raises(Unavailable):
                    await say(calling.calls, "unknown", 1_000)
        # No certificate at all, and no TLS at all.
        with pytest.raises((aiohttp.ClientError, OSError)):
            await post(f"{node.address}/words/Say", ssl=False)
        with pytest.raises((aiohttp.ClientError, OSError)):
            await post(f"http://localhost:{node.port}/words/Say")
        assert words.heard == ["known"]


async def test_certificates_are_replaced_while_it_runs(tmp_path: Path) -> None:
    first, second = Authority(tmp_path / "first"), Authority(tmp_path / "second")
    node_files, caller_files = tmp_path / "node", tmp_path / "caller"
    async with (
        Node(**first.issue("federation", node_files)) as node,
        Calling({"words": node.address}, **first.issue("client-api", caller_files)) as calling,
    ):
        Words(node.calls)
        assert await say(calling.calls, "first") == "first"
        second.issue("federation", node_files)
        second.issue("client-api", caller_files)
        assert calling.calls.tls is not None
        assert calling.calls.tls.watched.check()
        async with asyncio.timeout(10):
            while True:
                try:
                    assert await say(calling.calls, "second", 1_000) == "second"
                    break
                except Unavailable:
                    await asyncio.sleep(0.05)  # the listener looks at its files every 50 ms
        # The old authority's certificates are worth nothing any more.
        async with Calling({"words": node.address}, **first.issue("old")) as old:
            with pytest.raises(Unavailable):
                await say(old.calls, "old", 1_000)


async def test_certificates_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    files = Authority(tmp_path).issue("federation")
    Path(files["private_key"]).write_text("no key")
    with pytest.raises(SettingsError, match=r"calls\.certificate"):
        async with Node(**files):
            raise AssertionError("it has started")


@pytest.mark.parametrize(
    ("calls", "why"),
    [
        ({"listener": {"enabled": True}}, "need a secret"),
        ({"addresses": {"words": "http://words:1"}}, "need a secret"),
        ({"secret": "x" * 15}, "fewer than 16"),
        ({"secret": SECRET, "addresses": {"words": "words:1"}}, "no base address"),
        ({"secret": SECRET, "addresses": {"words": "http://words:1/path"}}, "no base address"),
        ({"secret": SECRET, "addresses": {"words": "https://words:1"}}, "begin with http:"),
        ({"certificate": "a"}, "go together"),
        (
            {
                "certificate": "a",
                "private_key": "b",
                "ca_file": "c",
                "addresses": {"words": "http://words:1"},
            },
            "begin with https:",
        ),
    ],
)
def test_settings_that_would_leave_a_door_open(calls: dict[str, Any], why: str) -> None:
    with pytest.raises(SettingsError, match=why):
        load_settings(env={}, overrides={"calls": calls})


async def test_no_other_listener_answers_calls() -> None:
    async with Node(secret=SECRET) as node:
        words = Words(node.calls)
        body = StringValue(value="x").SerializeToString()
        for addresses in (node.at.client, node.at.internal):
            [(host, port)] = addresses
            assert port != node.port
            status, _ = await post(f"http://{host}:{port}/words/Say", body)
            assert status in (404, 405)
        # Nor does this one answer what the others do.
        for path in ("/metrics", "/health/live", "/_matrix/client/versions"):
            assert (await post(f"{node.address}{path}", method="GET"))[0] == 404
        assert words.heard == []


async def test_the_request_goes_along() -> None:
    async with Node(secret=SECRET) as node, Calling({"words": node.address}, secret=SECRET) as calling:
        words = Words(node.calls)
        request = RequestContext("r-7")
        token = REQUEST.set(request)
        try:
            await say(calling.calls, "x")
        finally:
            REQUEST.reset(token)
        [there] = words.requests
        assert there is not None
        assert there is not request
        assert (there.request_id, there.trace_id) == ("r-7", request.trace_id)
        # Outside of a request there is nothing to take along, and the callee begins one of its own.
        await say(calling.calls, "y")
        assert words.requests[1] is not None
        assert words.requests[1].request_id != "r-7"


async def test_durations_are_counted() -> None:
    async with Node(secret=SECRET) as node, Calling({"words": node.address}, secret=SECRET) as calling:
        Words(node.calls)
        await say(calling.calls, "x")
        with pytest.raises(Unavailable):
            await calling.calls.call("words", "Nothing", StringValue(), StringValue, deadline_ms=1_000)
        labels = {"rpc_service": "words", "rpc_method": "Say", "status": "ok"}
        assert calling.around.metric("rpc_client_duration_seconds_count", **labels) == 1
        assert node.around.metric("rpc_server_duration_seconds_count", **labels) == 1
        assert calling.around.metric("rpc_client_duration_seconds_count", status="503") == 1
        assert node.around.metric("rpc_server_duration_seconds_count", status="404") == 1


async def test_calls_are_answered_until_the_last_public_request_has_ended() -> None:
    held = asyncio.Event()

    async def hold(scope: Scope, receive: Receive, send: Send, params: dict[str, str]) -> None:
        held.set()
        await release.wait()
        await send_json(send, 200, b"{}")

    release = asyncio.Event()
    stopped = asyncio.Event()

    async def stop() -> None:
        stopped.set()

    service = Service(
        "held", make_app("held"), [HotRoute("GET", "/hold", hold, {"operationId": "hold"})], stop=stop
    )
    async with (
        Node(service, secret=SECRET) as node,
        Calling({"words": node.address}, secret=SECRET) as calling,
    ):
        words = Words(node.calls)
        [(host, port)] = node.at.client
        holding = asyncio.create_task(post(f"http://{host}:{port}/hold", method="GET"))
        await held.wait()
        node.around.drain.begin()
        await asyncio.sleep(0.2)
        with pytest.raises((aiohttp.ClientError, OSError)):
            await post(f"http://{host}:{port}/hold", method="GET")
        assert await say(calling.calls, "meanwhile") == "meanwhile"
        # A call that is under way when the listener closes gets its answer, before the services stop.
        last = asyncio.create_task(say(calling.calls, "wait"))
        async with asyncio.timeout(5):
            while "wait" not in words.heard:
                await asyncio.sleep(0.01)
        release.set()
        assert (await holding)[0] == 200
        await asyncio.sleep(0.2)
        assert not stopped.is_set()
        words.go.set()
        assert await last == "wait"
        await node.task
        assert stopped.is_set()
        with pytest.raises(Unavailable):
            await say(calling.calls, "too late", 500)


async def test_a_service_of_the_same_process_is_called_directly() -> None:
    async with Node(secret=SECRET, addresses={"words": "http://127.0.0.1:1"}) as node:
        words = Words(node.calls)
        assert await say(node.calls, "here") == "here"
        assert words.heard == ["here"]
        assert node.around.metric("rpc_server_duration_seconds_count") == 0
        with pytest.raises(Unavailable, match="Nobody answers other/Say"):
            await node.calls.call("other", "Say", StringValue(), StringValue, deadline_ms=1_000)
