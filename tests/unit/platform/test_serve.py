"""Listening, leaving, TLS that changes, and clients that misbehave: over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest
from plexus.platform.http import (
    Addresses,
    Gateway,
    HotRoute,
    ListenError,
    Receive,
    Scope,
    Send,
    make_app,
    read_body,
    send_json,
    serve,
)
from plexus.platform.http.protocol import PART, BoundedProtocol, Unread
from plexus.platform.service import Service
from plexus.platform.telemetry import peer_of_request
from uvicorn.protocols.http.flow_control import FlowControl

from tests.unit.platform.certificates import common_name, write_certificate
from tests.unit.platform.surroundings import Surroundings, surroundings

ANYWHERE = {"client": {"port": 0}, "internal": {"port": 0}}
LARGE = b'"' + b"x" * 12 * 2**20 + b'"'
"""More than the kernel's buffers take."""


class Polls:
    """A service with a long poll that answers when draining, and one that nothing wakes."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.woken = asyncio.Event()
        self.reasons: list[str] = []
        self.gone: list[bool] = []

    async def waits(self, scope: Scope, receive: Receive, send: Send, params: dict[str, str]) -> None:
        """Until it is woken or its client has gone: nobody listens for that."""
        peer = peer_of_request()
        waits: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        peer.on_gone = partial(waits.set_result, None)
        woken = asyncio.create_task(self.woken.wait())
        either: set[asyncio.Future[Any]] = {waits, woken}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        peer.on_gone = None
        woken.cancel()
        self.gone.append(peer.gone)
        await send_json(send, 200, b"{}")

    async def poll(self, scope: Scope, receive: Receive, send: Send, params: dict[str, str]) -> None:
        await self.woken.wait()
        await asyncio.sleep(0.05)
        await send_json(send, 200, b'{"woken":true}')

    async def stuck(self, scope: Scope, receive: Receive, send: Send, params: dict[str, str]) -> None:
        await asyncio.sleep(60)
        await send_json(send, 200, b"{}")

    async def echo(self, scope: Scope, receive: Receive, send: Send, params: dict[str, str]) -> None:
        body = await read_body(receive, 1_000_000)
        await send_json(send, 200, orjson.dumps({"size": len(body), "client": scope["client_addr"]}))

    async def split(self, scope: Scope, receive: Receive, send: Send, params: dict[str, str]) -> None:
        await send_json(send, 200, b"{}", [(b"x-said", b"a\r\nx-not-said: b")])

    async def large(self, scope: Scope, receive: Receive, send: Send, params: dict[str, str]) -> None:
        await send_json(send, 200, LARGE)

    async def short(self, scope: Scope, receive: Receive, send: Send, params: dict[str, str]) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"3")]})
        await send({"type": "http.response.body", "body": b"{}"})

    def service(self) -> Service:
        def call(name: str, also: Callable[[], None] = lambda: None) -> Callable[[], Any]:
            async def step() -> None:
                self.calls.append(name)
                also()

            return step

        hot = [
            HotRoute("GET", "/poll", self.poll, {"operationId": "poll"}),
            HotRoute("GET", "/stuck", self.stuck, {"operationId": "stuck"}),
            HotRoute("PUT", "/echo", self.echo, {"operationId": "echo"}),
            HotRoute("GET", "/split", self.split, {"operationId": "split"}),
            HotRoute("GET", "/waits", self.waits, {"operationId": "waits"}),
            HotRoute("GET", "/large", self.large, {"operationId": "large"}),
            HotRoute("GET", "/short", self.short, {"operationId": "short"}),
        ]
        return Service(
            "polls",
            make_app("polls"),
            hot,
            start=call("start"),
            drain=call("drain", self.woken.set),
            stop=call("stop"),
            ready=lambda: self.reasons,
        )


class Running:
    def __init__(self, around: Surroundings, polls: Polls, at: Addresses, task: asyncio.Task[None]) -> None:
        self.around = around
        self.polls = polls
        self.at = at
        self.task = task

    async def leave(self) -> None:
        self.around.drain.begin()
        async with asyncio.timeout(10):
            await self.task

    async def get(self, path: str, *, internal: bool = False) -> tuple[int, bytes]:
        return await get((self.at.internal if internal else self.at.client)[0], path)


@asynccontextmanager
async def running(**settings: Any) -> AsyncIterator[Running]:
    around = surroundings(**{"listeners": ANYWHERE, **settings})
    polls = Polls()
    at: asyncio.Future[Addresses] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve(Gateway([polls.service()], around), around, started=at.set_result))
    waiting: set[asyncio.Future[Any]] = {task, at}
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        await task
    made = Running(around, polls, at.result(), task)
    yield made
    await made.leave()


async def get(at: tuple[str, int], path: str) -> tuple[int, bytes]:
    reader, writer = await asyncio.open_connection(*at)
    writer.write(b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % path.encode())
    raw = await reader.read()
    writer.close()
    head, _, body = raw.partition(b"\r\n\r\n")
    return (int(head.split()[1]) if head else 0), body


async def test_the_internal_listener() -> None:
    async with running() as server:
        assert await server.get("/health/live", internal=True) == (200, b'{"live":true}')
        assert (await server.get("/health/ready", internal=True))[0] == 200
        server.polls.reasons = ["the database is away"]
        status, body = await server.get("/health/ready", internal=True)
        assert (status, orjson.loads(body)["reasons"]) == (503, ["polls: the database is away"])
        server.polls.reasons = []
        assert server.around.metric("plexus_ready", service="polls") == 1
        server.around.reason = "PostgreSQL is away"
        status, body = await server.get("/health/ready", internal=True)
        assert (status, orjson.loads(body)["reasons"]) == (503, ["PostgreSQL is away"])
        assert server.around.metric("plexus_ready", service="polls") == 0
        await server.get("/nothing")
        status, body = await server.get("/metrics", internal=True)
        assert status == 200
        assert b"http_server_request_duration_seconds" in body
        status, body = await server.get("/openapi/polls.json", internal=True)
        assert orjson.loads(body)["paths"]["/poll"]["get"] == {"operationId": "poll"}
        assert (await server.get("/other", internal=True))[0] == 404
        # None of it is public.
        for path in ("/metrics", "/health/live", "/openapi/polls.json"):
            assert (await server.get(path))[0] == 404


async def test_leaving_answers_what_is_under_way() -> None:
    async with running(shutdown={"readiness_seconds": 0.3}) as server:
        polls = [asyncio.create_task(server.get("/poll")) for _ in range(20)]
        reader, writer = await asyncio.open_connection(*server.at.client[0])
        await asyncio.sleep(0.1)
        server.around.drain.begin()
        await asyncio.sleep(0.1)
        # For a while gateways still send requests here: they are served, and told to go elsewhere.
        assert (await server.get("/health/ready", internal=True))[0] == 503
        writer.write(b"PUT /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi")
        answer = await reader.read()
        assert b"connection: close" in answer
        assert b'"size":2' in answer
        assert [await poll for poll in polls] == [(200, b'{"woken":true}')] * 20
        await server.task
        assert server.polls.calls == ["start", "drain", "stop"]
        with pytest.raises(ConnectionRefusedError):
            await server.get("/poll")
        writer.close()


async def test_what_does_not_end_is_cut_off_without_an_answer(caplog: pytest.LogCaptureFixture) -> None:
    async with running(shutdown={"drain_seconds": 0.3}) as server:
        stuck = asyncio.create_task(server.get("/stuck"))
        await asyncio.sleep(0.1)
        server.around.drain.begin()
        with contextlib.suppress(ConnectionResetError):
            assert await stuck == (0, b"")
        await server.task
        assert server.polls.calls == ["start", "drain", "stop"]
    assert [record.levelname for record in caplog.records if record.levelno >= logging.WARNING] == ["WARNING"]
    assert "Cut off 1 requests" in caplog.text and "Traceback" not in caplog.text


async def test_a_second_signal_does_not_wait() -> None:
    async with running(shutdown={"drain_seconds": 60}) as server:
        stuck = asyncio.create_task(server.get("/stuck"))
        await asyncio.sleep(0.1)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(0.2)
        assert not server.task.done()
        os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(5):
            await server.task
        await asyncio.wait({stuck})


async def test_a_taken_port_is_named_and_what_started_is_stopped() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        around = surroundings(listeners={"client": {"port": port}, "internal": {"port": 0}})
        polls = Polls()
        with pytest.raises(ListenError, match=f"127.0.0.1 port {port}: Address already in use"):
            await serve(Gateway([polls.service()], around), around)
        assert polls.calls == ["start", "stop"]


async def test_several_addresses_and_no_internal_listener() -> None:
    listeners = {
        "client": {"addresses": ["127.0.0.1", "127.0.0.2"], "port": 0},
        "internal": {"enabled": False},
    }
    async with running(listeners=listeners) as server:
        assert server.at.internal == ()
        for at in server.at.client:
            assert (await get(at, "/nothing"))[0] == 404


async def presented(at: tuple[str, int]) -> str:
    """The common name of the certificate that is shown to a new connection."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    _, writer = await asyncio.open_connection(*at, ssl=context)
    certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return common_name(certificate)


async def test_the_certificate_changes_under_way(tmp_path: Path) -> None:
    write_certificate(tmp_path, "first")
    tls = {"certificate": tmp_path / "tls.crt", "private_key": tmp_path / "tls.key"}
    listeners = {**ANYWHERE, "federation": {"enabled": True, "port": 0, **tls}}
    async with running(listeners=listeners, signing={"reload_seconds": 0.05}) as server:
        at = server.at.federation[0]
        context = ssl.create_default_context(cafile=str(tmp_path / "tls.crt"))
        reader, writer = await asyncio.open_connection(*at, ssl=context, server_hostname="localhost")
        assert await presented(at) == "first"

        # Half of a rotation: a certificate without its key changes nothing.
        key = (tmp_path / "tls.key").read_bytes()
        write_certificate(tmp_path, "second")
        new_key = (tmp_path / "tls.key").read_bytes()
        (tmp_path / "tls.key").write_bytes(key)
        await asyncio.sleep(0.3)
        assert await presented(at) == "first"

        (tmp_path / "tls.key").write_bytes(new_key)
        async with asyncio.timeout(5):
            while await presented(at) != "second":
                await asyncio.sleep(0.02)
        # The connection from before goes on.
        writer.write(b"PUT /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi")
        assert b'"size":2' in await reader.read()
        writer.close()


async def test_a_key_with_a_password(tmp_path: Path) -> None:
    write_certificate(tmp_path, "locked", password=b"open sesame")
    tls = {"certificate": tmp_path / "tls.crt", "private_key": tmp_path / "tls.key"}
    for password in ("open sesame", "wrong", None):
        federation = {"enabled": True, "port": 0, "private_key_password": password, **tls}
        if password == "open sesame":
            async with running(listeners={**ANYWHERE, "federation": federation}) as server:
                assert await presented(server.at.federation[0]) == "locked"
        else:
            with pytest.raises((OSError, ValueError)):
                async with running(listeners={**ANYWHERE, "federation": federation}):
                    pass


async def talk(server: Running, *parts: bytes, pause: float = 0.05) -> bytes:
    """Send the parts with pauses between, and read until the other side closes or falls silent."""
    reader, writer = await asyncio.open_connection(*server.at.client[0])
    received = b""
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause)
        async with asyncio.timeout(2):
            received = await reader.read()
    except (ConnectionError, TimeoutError):
        received += b"(no end)" if not received else b""
    writer.close()
    return received


async def test_heads_without_end() -> None:
    async with running(http={"max_head_bytes": 8_192}) as server:
        long_header = talk(server, b"GET /poll HTTP/1.1\r\nX: ", b"a" * 6_000, b"a" * 6_000)
        assert b"431" in (await long_header).splitlines()[0]
        many = talk(server, b"GET /poll HTTP/1.1\r\n", b"X-Y: z\r\n" * 900, b"X-Y: z\r\n" * 900)
        assert b"431" in (await many).splitlines()[0]
        long_url = talk(server, b"GET /" + b"a" * 6_000, b"a" * 6_000)
        assert b"431" in (await long_url).splitlines()[0]


async def test_a_head_goes_out_with_its_body(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[bytes] = []
    connected: Any = BoundedProtocol.connection_made

    def connection_made(self: BoundedProtocol, transport: Any) -> None:
        connected(self, Recording(transport, written))

    monkeypatch.setattr(BoundedProtocol, "connection_made", connection_made)
    async with running() as server:
        server.polls.woken.set()
        assert await server.get("/poll") == (200, b'{"woken":true}')
        [whole] = written
        assert whole.startswith(b"HTTP/1.1 200") and whole.endswith(b'{"woken":true}')
        # Who asks whether to go on is told before there is an answer.
        written.clear()
        expecting = b"PUT /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\n"
        answer = await talk(server, expecting + b"Content-Length: 2\r\n\r\n", b"hi", pause=0.3)
        assert answer.startswith(b"HTTP/1.1 100") and b'"size":2' in answer
        assert len(written) == 2
        written.clear()
        head = b"HEAD /poll2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        assert (await talk(server, head)).startswith(b"HTTP/1.1 ")


async def test_answers_on_a_connection_that_is_kept() -> None:
    async with running() as server:
        server.polls.woken.set()
        reader, writer = await asyncio.open_connection(*server.at.client[0])

        async def answer(body: bytes) -> dict[str, str]:
            async with asyncio.timeout(5):
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                assert head[0] == "HTTP/1.1 200 OK"
                assert await reader.readexactly(len(body)) == body
            lines = [line.split(": ", 1) for line in head[1:-2]]
            headers = {name.lower(): value for name, value in lines}
            assert len(headers) == len(lines)
            return headers

        poll = b'{"woken":true}'
        # Two at once are answered one after the other; an answer to HEAD has the length and no body.
        for method in (b"GET", b"HEAD", b"GET"):
            writer.write(method + b" /poll HTTP/1.1\r\nHost: x\r\n\r\n")
        seen = [await answer(poll), await answer(b""), await answer(poll)]
        for headers in seen:
            assert headers["content-length"] == "14" and headers["content-type"] == "application/json"
            assert headers["access-control-allow-origin"] == "*" and headers["date"].endswith(" GMT")
            assert "connection" not in headers and "transfer-encoding" not in headers
        assert len({headers["x-request-id"] for headers in seen}) == 3
        expecting = b"PUT /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
        writer.write(expecting)
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"hi")
        await answer(b'{"size":2,"client":"127.0.0.1"}')
        # Who asks for the last time is told that it was.
        writer.write(b"GET /poll HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert (await answer(poll))["connection"] == "close"
        assert await reader.read() == b""
        writer.close()


async def test_an_answer_that_is_none_ends_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    async with running() as server:
        ask = b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n"
        split = await talk(server, ask % b"/split")
        assert b"x-not-said" not in split and split != b"(no end)"
        assert await talk(server, ask % b"/short") != b"(no end)"
    assert "Invalid HTTP header value." in caplog.text
    assert "Response content shorter than Content-Length" in caplog.text


class Recording:
    """A transport that notes what is written, a write each."""

    def __init__(self, transport: Any, written: list[bytes]) -> None:
        self._transport = transport
        self._written = written

    def write(self, data: bytes) -> None:
        self._written.append(data)
        self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


async def test_clients_that_fall_silent_are_let_go() -> None:
    times = {"head_timeout_seconds": 0.3, "body_timeout_seconds": 0.3}
    async with running(http=times) as server:
        said_nothing, half_a_head, half_a_body = await asyncio.gather(
            talk(server, pause=0),
            talk(server, b"GET /poll HTT", pause=0),
            talk(server, b"PUT /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhi", pause=0),
        )
        assert (said_nothing, half_a_head, half_a_body) == (b"", b"", b"")
        # A poll that is held is not silent: it is we who owe an answer.
        held = asyncio.create_task(server.get("/poll"))
        await asyncio.sleep(2.5)
        assert not held.done()
        server.polls.woken.set()
        assert (await held)[0] == 200


async def test_a_request_is_told_that_its_client_has_gone() -> None:
    async with running() as server:
        for wakes in (False, True):
            server.polls.woken.clear()
            server.polls.gone.clear()
            reader, writer = await asyncio.open_connection(*server.at.client[0])
            writer.write(
                b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n" + b"GET /waits HTTP/1.1\r\nHost: x\r\n\r\n"
            )
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 404")
            await asyncio.sleep(0.1)
            assert not server.polls.gone
            if wakes:
                server.polls.woken.set()
            else:
                writer.close()
            async with asyncio.timeout(2):
                while not server.polls.gone:
                    await asyncio.sleep(0.01)
            assert server.polls.gone == [not wakes]
            writer.close()


class Slow:
    """A client that asks for what is `LARGE`, and reads it when it likes."""

    def __init__(self, server: Running) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        self._socket.connect(server.at.client[0])
        self._socket.setblocking(False)
        self._socket.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        self.received = 0

    async def read(self, most: float = float("inf"), pause: float = 0.0) -> bool:
        """Read as much, with a pause after each half a megabyte; False if that was not to be had."""
        loop = asyncio.get_running_loop()
        upto = min(self.received + most, len(LARGE))
        paused = self.received
        while self.received < upto:
            try:
                read = len(await loop.sock_recv(self._socket, 65_536))
            except ConnectionError:
                return False
            if not read:
                return False
            self.received += read
            if self.received - paused > 2**19:
                paused = self.received
                await asyncio.sleep(pause)
        return True

    def close(self) -> None:
        self._socket.close()


async def test_who_does_not_read_an_answer_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    ledgers = watched_ledgers(monkeypatch)
    async with running(http={"stall_seconds": 1}) as server:
        never, begins, steady = Slow(server), Slow(server), Slow(server)
        assert await begins.read(2**20)
        reads = asyncio.create_task(steady.read(pause=0.2))
        await asyncio.sleep(0.1)
        assert sum(ledger.bytes for ledger in ledgers) > 2**22
        await asyncio.sleep(3.5)
        # Before they read on.
        assert not reads.done()
        assert max(ledger.bytes for ledger in ledgers) <= len(LARGE) + 300
        assert await reads
        assert not await never.read()
        assert not await begins.read()
        assert sum(ledger.bytes for ledger in ledgers) == 0
        # What is taken at once concerns nobody.
        assert (await server.get("/nothing"))[0] == 404
        for client in (never, begins, steady):
            client.close()


async def test_who_does_not_read_over_tls_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledgers = watched_ledgers(monkeypatch)
    write_certificate(tmp_path, "first")
    tls = {"certificate": tmp_path / "tls.crt", "private_key": tmp_path / "tls.key"}
    listeners = {**ANYWHERE, "federation": {"enabled": True, "port": 0, **tls}}
    context = ssl.create_default_context(cafile=str(tmp_path / "tls.crt"))
    ask = b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    async with running(listeners=listeners, http={"stall_seconds": 1}) as server:
        at = server.at.federation[0]
        never, asks = await asyncio.open_connection(*at, ssl=context, server_hostname="localhost")
        asks.write(ask)
        reads, asks_too = await asyncio.open_connection(*at, ssl=context, server_hostname="localhost")
        asks_too.write(ask)
        answer = await reads.read()
        assert answer.endswith(b"\r\n\r\n" + LARGE)
        assert len(LARGE) > sum(ledger.bytes for ledger in ledgers) > 2**20
        async with asyncio.timeout(5):
            while any(ledger.bytes for ledger in ledgers):
                await asyncio.sleep(0.1)
        with contextlib.suppress(ConnectionError):
            assert len(await never.read()) < len(LARGE)
        for writer in (asks, asks_too):
            writer.close()


async def test_so_much_may_be_unread_and_who_has_not_read_longest_is_cut_off() -> None:
    async with running(http={"unread_mb": 20}) as server:
        clients = []
        for _ in range(3):
            clients.append(Slow(server))
            await asyncio.sleep(0.2)
        read = [await client.read() for client in clients]
        # What the kernel takes of each does not count.
        assert (read[0], read[-1]) == (False, True)
        for client in clients:
            client.close()


def watched_ledgers(monkeypatch: pytest.MonkeyPatch) -> list[Unread]:
    """Those of the listeners that begin from now on."""
    ledgers: list[Unread] = []

    class Watched(Unread):
        def __init__(self, limit: int) -> None:
            super().__init__(limit)
            ledgers.append(self)

    monkeypatch.setattr("plexus.platform.http.protocol.Unread", Watched)
    return ledgers


async def test_who_asks_again_has_read_what_the_transport_keeps_of_each() -> None:
    """Below what pauses it: the sweep may see the end of another answer each time."""

    class Transport(asyncio.Transport):
        unread = 0

        def get_write_buffer_size(self) -> int:
            return self.unread

    connection, transport = object.__new__(BoundedProtocol), Transport()
    connection.transport, connection.flow, connection.heard_at = transport, FlowControl(transport), 0.0
    connection._waits, connection._waits_from = 0, 0.0
    assert not connection.stalls(10, 5)
    transport.unread = 1_000
    for now in (15.0, 20.0, 25.0):
        connection.heard_at = now - 1
        assert not connection.stalls(now, 5)
    assert not connection.stalls(30, 5)
    assert connection.stalls(31, 5)
    # But not while so much is unread that nothing more is written.
    connection.flow.pause_writing()
    connection.heard_at = 30
    assert connection.stalls(31, 5)
    transport.unread = 2 * PART
    connection._waits = 3 * PART
    assert not connection.stalls(31, 5)
    assert not connection.stalls(36, 5)
    assert connection.stalls(37, 5)


async def test_a_connection_too_many_is_told_so() -> None:
    async with running(http={"max_connections": 2}) as server:
        polls = [asyncio.create_task(server.get("/poll")) for _ in range(2)]
        await asyncio.sleep(0.1)
        answer = await talk(server, b"GET /poll HTTP/1.1\r\nHost: x\r\n\r\n", pause=0)
        head, _, body = answer.partition(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        assert lines[0] == b"http/1.1 503 service unavailable"
        assert orjson.loads(body)["errcode"] == "M_UNKNOWN"
        for header in (b"retry-after: 5", b"access-control-allow-origin: *", b"connection: close"):
            assert header in lines
        server.polls.woken.set()
        assert [await poll for poll in polls] == [(200, b'{"woken":true}')] * 2
        assert (await server.get("/poll"))[0] == 200


@pytest.mark.parametrize(
    "head",
    [
        b"nonsense\r\n\r\n",
        b"GET \xff HTTP/1.1\r\n\r\n",
        b"GET /\xc3\xa4 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /a\0b HTTP/1.1\r\n\r\n",
        b"GET /%zz HTTP/1.1\r\nConnection: close\r\n\r\n",
        b"GET /%ff HTTP/1.1\r\nConnection: close\r\n\r\n",
        b"GET /%00 HTTP/1.1\r\nConnection: close\r\n\r\n",
        b"GET /?%ff%zz HTTP/1.1\r\nConnection: close\r\n\r\n",
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: a\0b\r\n\r\n",
        b"PUT /echo HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"PUT /echo HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"PUT /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"CONNECT x:1 HTTP/1.1\r\nConnection: close\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nConnection: close\r\n\r\n",
        b"GET http://x/poll2 HTTP/1.1\r\nConnection: close\r\n\r\n",
    ],
)
async def test_bad_requests_are_never_our_fault(head: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async with running() as server:
        answer = await talk(server, head, pause=0)
        status = int(answer.split()[1]) if answer.startswith(b"HTTP") else 0
        assert 200 <= status < 500
        if status >= 400:
            assert b'"errcode"' in answer
            assert b"access-control-allow-origin: *" in answer
        assert (await server.get("/nothing"))[0] == 404
        assert "Traceback" not in caplog.text


MAIN = """
import asyncio, sys
from tests.unit.platform.test_serve import ANYWHERE, Polls
from tests.unit.platform.surroundings import surroundings
from plexus.platform.http import Gateway, run, serve
async def main():
    around = surroundings(listeners=ANYWHERE)
    gateway = Gateway([Polls().service()], around)
    await serve(gateway, around, started=lambda at: print(at.client[0][1], flush=True))
run(main(), surroundings(telemetry={"log_level": "warning"}).settings.telemetry)
"""


async def test_a_process_ends_with_0_on_sigterm() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", MAIN], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        port = int(await asyncio.to_thread(process.stdout.readline))
        poll = asyncio.create_task(get(("127.0.0.1", port), "/poll"))
        await asyncio.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        assert await poll == (200, b'{"woken":true}')
        _, errors = await asyncio.to_thread(process.communicate, timeout=10)
    finally:
        process.kill()
    assert (process.returncode, errors) == (0, "")
