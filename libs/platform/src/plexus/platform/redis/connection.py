"""One connection to Redis for everything a process asks, and what happens when Redis does not answer.

1. Calls that are made while others are under way travel together as soon as those are answered, at most once
   a millisecond. Idle, that adds no delay; busy, a call costs a fraction of what it costs alone.
2. Whatever is not answered within ``redis.timeout_ms``, and every sign that Redis cannot do its work (it is
   loading, read-only, full), begins an outage: all that wait get `RedisAway`, and those that come later get
   it at once. While Redis answers it is tried now and then anyway, so mostly no request meets a dead one.
3. Every ``redis.retry_seconds`` the connection is made anew in the background. It counts as back when it has
   taken a write; first of all then goes what is owed.

A call that was not answered may have been carried out, or be carried out when a frozen Redis goes on. It is
never sent twice, except to a Redis that said it does not know the script.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Sequence
from typing import Any

from plexus.platform.beat import on_the_beat
from plexus.platform.redis.scripts import Script
from plexus.platform.settings import RedisSettings, SettingsError
from plexus.platform.telemetry import Metrics
from redis.asyncio.connection import AbstractConnection, ConnectionPool, parse_url
from redis.connection import HiredisRespSerializer
from redis.exceptions import (
    ClusterDownError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)

log = logging.getLogger(__name__)

_UNFIT = (ClusterDownError, NoPermissionError, OutOfMemoryError, ReadOnlyError)
_UNFIT_CODES = ("MISCONF ", "NOREPLICAS ", "UNKILLABLE ", "BUSY ")

_GAP_SECONDS = 0.001
"""From one journey to the next. The polls that a message wakes come back one after the other, faster than
that: without it nearly each has a journey of its own, and pays 80 instead of 45 µs."""

_CHECKED_EVERY = 5
"""In ``redis.retry_seconds``. Each check wakes Redis, and twice a process that may have nothing else to do.
Who meets a dead Redis first is told at once that nobody listens; only a frozen one costs a timeout."""

_GRACE_SECONDS = 0.02
"""When time is up, answers that are here already still count: it may be this process that stood still."""

_SERIALIZER = HiredisRespSerializer()

Command = tuple[bytes | str | int | float, ...]


class RedisAway(Exception):  # noqa: N818 - a finding: go on without
    """Redis cannot be asked now. Whether a call that was under way has been carried out is not known."""


class _Call:
    __slots__ = ("answer", "command", "packed", "script")

    def __init__(
        self, command: Command, script: Script | None = None, answer: asyncio.Future[Any] | None = None
    ) -> None:
        self.command = command
        # Here, so that what cannot be packed is the fault of who calls, and of nobody who travels along.
        self.packed = _pack(command)
        self.script = script
        self.answer = answer

    def settle(self, reply: Any) -> None:
        if self.answer is not None and not self.answer.done():
            if isinstance(reply, Exception):
                self.answer.set_exception(reply)
            else:
                self.answer.set_result(reply)
        elif self.answer is None and isinstance(reply, Exception):
            log.error("Redis refused %s: %s", self.command[0], reply)


class RedisConnection:
    def __init__(self, settings: RedisSettings, metrics: Metrics | None = None) -> None:
        """`SettingsError` for an address that is none."""
        if settings.url is None:
            raise SettingsError(["redis.url: is not set"])
        self.prefix = settings.prefix
        self.timeout = settings.timeout_ms / 1000
        self.retry = settings.retry_seconds
        # Nobody waits for it but the start of the process, so it may be longer than for an answer.
        self._connect_timeout = max(1.0, self.timeout)
        self._pool = _pool(settings.url.get_secret_value(), self._connect_timeout)
        self.since = -math.inf
        """When the last outage ended, by the time of the event loop; minus infinity if there was none."""
        self.outages = 0
        self._connection: AbstractConnection | None = None
        self._up = False
        self._began = 0.0
        self._waiting: list[_Call] = []
        self._under_way: list[_Call] = []
        self._work = asyncio.Event()
        self._owed: dict[Command, None] = {}
        self._on_outage: list[Callable[[], None]] = []
        self._on_return: list[Callable[[], None]] = []
        self._task: asyncio.Task[None] | None = None
        self._tick: asyncio.TimerHandle | None = None
        metrics = metrics or Metrics()
        self._without = metrics.counter("plexus.redis.without", "1", "Operations that went on without Redis.")
        metrics.gauge("plexus.redis.up", lambda: float(self._up), "1", "Whether Redis answers.")
        metrics.gauge("plexus.redis.outages", lambda: self.outages, "1", "Since the start of the process.")
        self.without = {
            port: self._without.labels({"port": port}) for port in ("cache", "ephemeral", "marks")
        }
        """Counts what went on without Redis, by port."""

    def key(self, kind: str, name: str) -> bytes:
        """The key of something, in a space of its kind. A name may be any text that a client sends."""
        return f"{self.prefix}{kind}:{name}".encode("utf-8", "surrogatepass")

    @property
    def up(self) -> bool:
        return self._up

    @property
    def owed(self) -> int:
        """How many commands Redis is owed."""
        return len(self._owed)

    async def start(self) -> None:
        """Connect. A Redis that is away hinders nothing: it is waited for in the background."""
        try:
            await self._connect()
        except (RedisError, OSError, RedisAway) as error:
            self._go_away(error)
        else:
            self._up = True
        self._task = asyncio.create_task(self._run(), name="redis")
        self._check_again()

    async def close(self) -> None:
        if self._tick is not None:
            self._tick.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._up = False
        self._refuse(RedisAway("this process ends"))
        await self._pool.disconnect()

    async def ask(self, *command: bytes | str | int | float) -> Any:
        """Redis's answer, with text as bytes. Raises `RedisAway`, or `ResponseError` for a wrong call."""
        return await self._call(command, None)

    async def ask_all(self, *commands: Command) -> list[Any]:
        """The answers to commands that travel together, in order."""
        answers = [self._call(command, None) for command in commands]
        try:
            return [await answer for answer in answers]
        finally:
            # One that raises is told; the others that failed with it have nothing to add.
            for answer in answers:
                if not answer.cancel() and not answer.cancelled():
                    answer.exception()

    async def run(self, script: Script, *words: bytes | str | int | float) -> Any:
        """Run a script: first its keys, then its arguments."""
        keys = len(words) if script.keys is None else script.keys
        return await self._call(("EVALSHA", script.sha, keys, *words), script)

    def owe(self, *command: bytes | str | int | float) -> None:
        """Say what has to be done first when Redis is back. Twice the same is owed once."""
        self._owed[command] = None

    def owe_script(self, script: Script, *words: bytes | str | int | float) -> None:
        keys = len(words) if script.keys is None else script.keys
        self._owed["EVAL", script.text, keys, *words] = None

    def on_outage(self, callback: Callable[[], None]) -> None:
        """Call back when an outage begins, in the event loop."""
        self._on_outage.append(callback)

    def on_return(self, callback: Callable[[], None]) -> None:
        """Call back when an outage has ended, in the event loop, after what is owed."""
        self._on_return.append(callback)

    def suspect(self) -> None:
        """Somebody has seen a sign that Redis is away: try it now."""
        if self._up:
            self._put(_Call(self._check()))

    async def connection(self) -> AbstractConnection:
        """One more connection, for something else than calls; give it back with `release`."""
        try:
            async with asyncio.timeout(self._connect_timeout):
                made: AbstractConnection = await self._pool.get_connection()  # type: ignore[no-untyped-call]  # theirs
        except TimeoutError:
            raise RedisAway(f"no connection within {self._connect_timeout:g} s") from None
        return made

    async def release(self, connection: AbstractConnection) -> None:
        """Close a connection and forget it."""
        await connection.disconnect(nowait=True)
        await self._pool.release(connection)

    def _call(self, command: Command, script: Script | None) -> asyncio.Future[Any]:
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self._up:
            self._put(_Call(command, script, answer))
        else:
            answer.set_exception(RedisAway("Redis is away"))
        return answer

    def _put(self, call: _Call) -> None:
        self._waiting.append(call)
        self._work.set()

    def _check(self) -> Command:
        # A write: a replica, or a Redis that is full, would answer a PING.
        return ("SET", f"{self.prefix}check", "1", "PX", 60_000)

    def _check_again(self) -> None:
        self.suspect()
        pause = on_the_beat(_CHECKED_EVERY * self.retry)
        self._tick = asyncio.get_running_loop().call_later(pause, self._check_again)

    # --- the task: everything that is sent and read ---

    async def _run(self) -> None:
        while True:
            try:
                if not self._up:
                    await self._let_go()
                    await asyncio.sleep(self.retry)
                    await self._connect()
                    self._come_back()
                await self._serve()
            except (RedisError, OSError, RedisAway) as error:
                self._go_away(error)
            except Exception as error:
                # A mistake of ours: without Redis it goes on, without this task it never would again.
                log.exception("The connection to Redis failed unexpectedly")
                self._go_away(error)

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        began = -math.inf
        while True:
            await self._work.wait()
            # Before a journey and not after it: nobody is woken to find that there is none to make.
            if (rest := began + _GAP_SECONDS - loop.time()) > 0:
                await asyncio.sleep(rest)
            self._work.clear()
            if self._waiting:
                began = loop.time()
                await self._travel()

    async def _travel(self) -> None:
        """Send all that wait, read the answers, hand them out."""
        calls, self._waiting = self._waiting, []
        self._under_way = calls
        replies = await self._exchange([call.packed for call in calls])
        unfit: Exception | None = None
        for call, reply in zip(calls, replies, strict=True):
            if isinstance(reply, NoScriptError) and call.script is not None:
                text = ("EVAL", call.script.text, *call.command[2:])
                self._put(_Call(text, answer=call.answer))
            elif isinstance(reply, Exception) and _is_unfit(reply):
                unfit = reply
                call.settle(RedisAway(str(reply)))
            else:
                self._owed.pop(call.command, None)
                call.settle(reply)
        self._under_way = []
        if unfit is not None:
            raise RedisAway(str(unfit))

    async def _exchange(self, commands: Sequence[bytes]) -> list[Any]:
        connection = self._connection
        if connection is None:
            raise RedisAway("there is no connection")
        replies: list[Any] = []
        sent = False
        try:
            async with asyncio.timeout(self.timeout):
                await connection.send_packed_command([b"".join(commands)], check_health=False)
                sent = True
                await _read(connection, len(commands), replies)
        except TimeoutError as error:
            try:
                if not sent:
                    raise TimeoutError
                async with asyncio.timeout(_GRACE_SECONDS):
                    await _read(connection, len(commands), replies)
            except TimeoutError:
                raise RedisAway(f"no answer within {self.timeout:g} s") from error
        return replies

    async def _connect(self) -> None:
        self._connection = await self.connection()
        try:
            [reply] = await self._exchange([_pack(self._check())])
            if isinstance(reply, Exception):
                raise reply
        except BaseException:
            await self._let_go()
            raise

    async def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await self.release(connection)

    def _come_back(self) -> None:
        loop = asyncio.get_running_loop()
        self._up = True
        self.since = loop.time()
        log.warning("Redis is back after %.1f s", self.since - self._began)
        # Before anything that is asked from now on.
        for command in self._owed:
            self._put(_Call(command))
        for callback in self._on_return:
            callback()

    def _go_away(self, error: Exception) -> None:
        """Begin an outage, unless one is under way."""
        if self._up or not self.outages:
            self._began = asyncio.get_running_loop().time()
            self.outages += 1
            log.warning("Redis is away, going on without: %s", error)
            for callback in self._on_outage:
                callback()
        self._up = False
        self._refuse(RedisAway(str(error)))

    def _refuse(self, error: RedisAway) -> None:
        calls = self._under_way + self._waiting
        self._under_way, self._waiting = [], []
        for call in calls:
            if call.answer is not None:
                call.settle(error)


def _pool(url: str, connect_timeout: float) -> ConnectionPool:
    """What of the address is not ours to say comes from it: host, database, account, TLS."""
    ours: dict[str, Any] = {
        # The calls are timed here, all that travel together at once. RESP2, so that messages of a
        # subscription and answers look the same; bytes as they are; no second try behind our back.
        "socket_timeout": None,
        "socket_connect_timeout": connect_timeout,
        "socket_keepalive": True,
        "protocol": 2,
        "decode_responses": False,
        "health_check_interval": 0,
        "retry_on_error": [],
    }
    try:
        given = parse_url(url)
    except ValueError as error:
        raise SettingsError([f"redis.url: {error}"]) from error
    return ConnectionPool(**{**given, **ours})


def _pack(command: Command) -> bytes:
    words: tuple[Any, ...] = command
    return b"".join(_SERIALIZER.pack(*words))


async def _read(connection: AbstractConnection, count: int, replies: list[Any]) -> None:
    """Read until there are ``count`` replies. An error that Redis answers with is a reply."""
    while len(replies) < count:
        try:
            replies.append(
                await connection.read_response(
                    disable_decoding=True, timeout=math.inf, disconnect_on_error=False
                )
            )
        except ResponseError as error:
            replies.append(error)


def _is_unfit(error: Exception) -> bool:
    """Whether Redis cannot do its work, and not: whether we have asked something silly."""
    return isinstance(error, _UNFIT) or str(error).startswith(_UNFIT_CODES)
