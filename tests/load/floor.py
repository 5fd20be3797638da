"""What a wake would cost at least: Plexus beside two toys that do nothing of what a homeserver is for.

    .venv/bin/python -m tests.load.floor [--rounds 12] [--gaps 0.05 0]

A wake is a message that is sent, the poll that it answers, and that poll's return. *frame* does it as two
routes of FastAPI on uvicorn, *bare* by a protocol of asyncio without any framework. Both keep the event by
one prepared statement that is committed and flushed, on one connection to the PostgreSQL of the Plexus beside
them. Neither knows users, authorisation, signatures, transactions, filters, tokens or more than one process:
so what is between them and Plexus is Plexus, and what they cost is Python's, HTTP's and PostgreSQL's here.

All three in turn, in rounds of 20, with a pause after each wake: without one the caches are warm, with 50 ms,
as the harness waits, they are not. CPU of the processes as the scheduler counts it, in nanoseconds.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import http.client
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Annotated, Any, cast

import httptools
import orjson
import psutil
import psycopg
import uvicorn
import uvloop
from fastapi import FastAPI, Query, Request, Response

from tests.support.server import PlexusServer, free_port

ROUND = 20
WARM_UP = 20
TYPE = "m.room.message"
_TABLES = """
CREATE TABLE event (
    num bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, room text, event_id text UNIQUE, raw bytea
);
CREATE INDEX ON event (room, num)
"""
_INSERT = "INSERT INTO event (room, event_id, raw) VALUES (%s, %s, %s) RETURNING num"


class Toy:
    """Rooms as lists in memory, one table, and futures of those who wait."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._postgres: psycopg.AsyncConnection[Any] | None = None
        self._one_by_one = asyncio.Lock()
        self._events: dict[str, list[tuple[int, bytes]]] = {}
        self._waiting: dict[str, asyncio.Future[None]] = {}

    async def send(self, room: str, type_: str, content: bytes) -> bytes:
        event = {"type": type_, "room_id": room, "sender": "@toy:localhost", "content": orjson.loads(content)}
        raw = orjson.dumps(event | {"origin_server_ts": time.time_ns() // 1_000_000})
        event_id = f"${hashlib.sha256(raw).hexdigest()}"
        async with self._one_by_one:
            if self._postgres is None:
                self._postgres = await psycopg.AsyncConnection.connect(self._dsn, autocommit=True)
            cursor = await self._postgres.execute(_INSERT, (room, event_id, raw), prepare=True)
            row = await cursor.fetchone()
        assert row is not None
        self._events.setdefault(room, []).append((row[0], raw))
        if waiting := self._waiting.pop(room, None):
            waiting.set_result(None)
        return orjson.dumps({"event_id": event_id})

    async def sync(self, room: str, since: int) -> bytes:
        events = self._events.get(room, [])
        if not events or events[-1][0] <= since:
            waiting = self._waiting[room] = asyncio.get_running_loop().create_future()
            await waiting
            events = self._events[room]
        new = [orjson.Fragment(raw) for num, raw in events[-10:] if num > since]
        joined = {"join": {room: {"timeline": {"events": new}}}}
        return orjson.dumps({"next_batch": str(events[-1][0]), "rooms": joined})


def frame(toy: Toy) -> FastAPI:
    app = FastAPI()

    @app.put("/_matrix/client/v3/rooms/{room}/send/{type_}/{txn}")
    async def send(room: str, type_: str, txn: str, request: Request) -> Response:
        return Response(await toy.send(room, type_, await request.body()), media_type="application/json")

    @app.get("/_matrix/client/v3/sync")
    async def sync(since: int, rooms: Annotated[str, Query(alias="filter")]) -> Response:
        return Response(await toy.sync(rooms, since), media_type="application/json")

    return app


class Bare(asyncio.Protocol):
    """HTTP as far as the load below speaks it."""

    def __init__(self, toy: Toy) -> None:
        self._toy = toy
        self._url = self._body = b""
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self._url, self._body = url, b""

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        task = asyncio.ensure_future(self._answer(self._url.decode(), self._body))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, url: str, body: bytes) -> None:
        path, _, query = url.partition("?")
        if query:
            values = dict(part.split("=", 1) for part in query.split("&"))
            answer = await self._toy.sync(values["filter"], int(values["since"]))
        else:
            room, _send, type_ = path.split("/")[5:8]
            answer = await self._toy.send(room, type_, body)
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        if not self._transport.is_closing():
            self._transport.write(head % len(answer) + answer)


async def serve_bare(toy: Toy, port: int) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: Bare(toy), "127.0.0.1", port)
    await server.serve_forever()


@dataclass
class Talk:
    """One who sends to a room and one poll that waits for it, on a connection each."""

    port: int
    token: str
    room: str
    since: str
    extra: str = ""
    over: bool = False
    _count: int = 0
    _got: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._sender, self._poller = (http.client.HTTPConnection("127.0.0.1", self.port) for _ in range(2))
        threading.Thread(target=self._poll, daemon=True).start()

    def wake(self) -> None:
        self._count += 1
        self._got.clear()
        path = f"/_matrix/client/v3/rooms/{self.room}/send/{TYPE}/{self._count}"
        call(self._sender, "PUT", path, self.token, {"msgtype": "m.text", "body": f"number {self._count}"})
        assert self._got.wait(10), "the poll was not answered"

    def _poll(self) -> None:
        while True:
            path = f"/_matrix/client/v3/sync?since={self.since}{self.extra}"
            try:
                answer = call(self._poller, "GET", path, self.token)
            except (OSError, http.client.HTTPException):
                if self.over:
                    return  # its server has ended
                raise
            self.since = answer["next_batch"]
            if "rooms" in answer:
                self._got.set()


def call(connection: http.client.HTTPConnection, method: str, path: str, token: str, body: Any = None) -> Any:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    connection.request(method, path, json.dumps(body) if body is not None else None, headers)
    answer = connection.getresponse()
    text = answer.read()
    assert answer.status == 200, text
    return json.loads(text)


@dataclass
class Contestant:
    name: str
    talk: Talk
    python: Sequence[int]
    postgres: Sequence[int]
    used: list[tuple[float, float]] = field(default_factory=list)

    def round(self, gap: float) -> None:
        before = cpu_ms(self.python), cpu_ms(self.postgres)
        for _ in range(ROUND):
            self.talk.wake()
            time.sleep(gap)
        python, postgres = (
            sum(ms - earlier.get(task, 0.0) for task, ms in cpu_ms(pids).items()) / ROUND
            for earlier, pids in zip(before, (self.python, self.postgres), strict=True)
        )
        self.used.append((python, postgres))


def cpu_ms(pids: Iterable[int]) -> dict[Path, float]:
    """By thread, of those that are alive, by the scheduler's own count."""
    used = {}
    for task in (task for pid in pids for task in Path("/proc").glob(f"{pid}/task/*")):
        with contextlib.suppress(OSError):  # a connection that has ended meanwhile
            used[task] = int((task / "schedstat").read_text().split()[0]) / 1e6
    return used


def plexus(server: PlexusServer) -> Contestant:
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    account = {"username": "floor", "password": "a long enough one", "auth": {"type": "m.login.dummy"}}
    token = call(connection, "POST", "/_matrix/client/v3/register", "", account)["access_token"]
    room = call(connection, "POST", "/_matrix/client/v3/createRoom", token, {})["room_id"]
    since = call(connection, "GET", "/_matrix/client/v3/sync", token)["next_batch"]
    python, postgres = server.tree()
    return Contestant("plexus", Talk(server.port, token, room, since, "&timeout=60000"), python, postgres)


def toy(kind: str, port: int, pid: int, dsn: str) -> Contestant:
    talk = Talk(port, "none", f"!{kind}:localhost", "0", f"&filter=!{kind}:localhost")
    talk.wake()  # connects to PostgreSQL
    with psycopg.connect(dsn) as connection:
        found = connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = 'floor' AND application_name = %s", (kind,)
        ).fetchall()
    return Contestant(kind, talk, [pid], [backend for (backend,) in found])


def measure(contestants: Sequence[Contestant], rounds: int, gap: float) -> None:
    for contestant in contestants:
        contestant.used.clear()
        for _ in range(WARM_UP):
            contestant.talk.wake()
    for number in range(rounds):
        for contestant in contestants if number % 2 else reversed(contestants):
            contestant.round(gap)
    for contestant in contestants:
        python, postgres = (median(part) for part in zip(*contestant.used, strict=True))
        figures = " | ".join(f"{ms:6.2f}" for ms in (python + postgres, python, postgres))
        print(f"{gap * 1000:5.0f} ms | {contestant.name:6} | {figures}")


def main(rounds: int, gaps: Sequence[float]) -> None:
    children: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory(prefix="plexus-floor-") as folder:
        Path(folder).chmod(0o755)
        with PlexusServer(Path(folder) / "data") as server:
            try:
                time.sleep(12)  # what a new server does at first
                beside = plexus(server)
                dsn = f"host={server.data / 'postgres' / 'run'} user=plexus"
                with psycopg.connect(f"{dsn} dbname=postgres", autocommit=True) as connection:
                    connection.execute("CREATE DATABASE floor")
                with psycopg.connect(f"{dsn} dbname=floor") as connection:
                    connection.execute(_TABLES)
                toys = []
                for kind in ("frame", "bare"):
                    port, own = free_port(), f"{dsn} dbname=floor application_name={kind}"
                    command = [sys.executable, "-m", "tests.load.floor", "--serve", kind, own, str(port)]
                    children.append(subprocess.Popen(command))
                    wait_for(port)
                    toys.append(toy(kind, port, children[-1].pid, own))
                print("CPU ms a wake\n   pause | who    |    all | python | postgres")
                for gap in gaps:
                    measure([beside, *toys], rounds, gap)
                for contestant in (beside, *toys):
                    contestant.talk.over = True
            finally:
                for child in children:
                    child.kill()
                    child.wait()


def wait_for(port: int) -> None:
    for _ in range(200):
        if any(c.laddr.port == port for c in psutil.net_connections("tcp4") if c.status == "LISTEN"):
            return
        time.sleep(0.05)
    raise AssertionError(f"nobody listens on port {port}")


def serve(kind: str, dsn: str, port: int) -> None:
    if kind == "bare":
        uvloop.run(serve_bare(Toy(dsn), port))
    else:
        uvicorn.run(
            frame(Toy(dsn)), port=port, loop="uvloop", http="httptools", access_log=False, log_level="warning"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--gaps", type=float, nargs="+", default=[0.05, 0.0], help="seconds after each wake")
    parser.add_argument("--serve", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve[0], arguments.serve[1], int(arguments.serve[2]))
    else:
        main(arguments.rounds, arguments.gaps)
