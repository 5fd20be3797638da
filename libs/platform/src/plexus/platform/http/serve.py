"""Serving: several listeners, one process, and a departure that breaks no request.

`serve` starts, in this order: the internal listener (so that health can be asked while the rest starts), the
services, the listener for calls from other services, the public listeners. On SIGTERM or SIGINT, or when
`DrainSignal.begin` is called:

1. readiness fails, answers carry ``Connection: close``, and for ``shutdown.readiness_seconds`` all goes on as
   before, until the gateways have noticed;
2. `Service.drain` of all services: long polls answer at once with what they have;
3. the public listeners close, idle connections with them, and the requests under way are waited for, at most
   ``shutdown.drain_seconds``; what is left then is cut off without an answer, never with a 500;
4. the listener for calls closes in the same way: it has answered all this time, because other services'
   requests need it;
5. `Service.stop` in reverse order; the internal listener is the last to go.

A second signal goes straight to the cut.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import ssl
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
import uvloop
from plexus.platform.beat import on_the_beat
from plexus.platform.calls import HttpCalls
from plexus.platform.http.calls import calls_app
from plexus.platform.http.gateway import Gateway, Surroundings
from plexus.platform.http.hot import ASGIApp
from plexus.platform.http.internal import internal_app
from plexus.platform.http.protocol import bounded, sweep
from plexus.platform.http.sockets import ListenError, bind
from plexus.platform.huge_pages import HugePages
from plexus.platform.logs import configure_logging
from plexus.platform.settings import HttpSettings, Listener, TelemetrySettings
from plexus.platform.telemetry import LoopWatch
from plexus.platform.telemetry.metrics import Attributes
from plexus.platform.tls import ReloadingTls
from plexus.platform.watch import Watcher

logger = logging.getLogger(__name__)

_SWEEP_SECONDS = 5.0
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where we listen: (address, port) pairs; empty for a listener that is off."""

    client: tuple[tuple[str, int], ...]
    federation: tuple[tuple[str, int], ...]
    internal: tuple[tuple[str, int], ...]
    calls: tuple[tuple[str, int], ...] = ()


class _Listening:
    """One listener: a uvicorn server driven by us, because its own loop handles signals and cancels with a
    500.
    """

    def __init__(
        self, app: ASGIApp, listener: Listener, http: HttpSettings, tls: ssl.SSLContext | None = None
    ) -> None:
        self._listener = listener
        self.addresses: tuple[tuple[str, int], ...] = ()
        config = uvicorn.Config(
            app,
            http=bounded(http),
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=http.keep_alive_seconds,
            ssl_context_factory=(lambda *_: tls) if tls is not None else None,
        )
        config.load()
        self._server = uvicorn.Server(config)
        self._server.lifespan = config.lifespan_class(config)

    async def start(self) -> None:
        sockets = bind(self._listener)
        await self.tick()
        try:
            await self._server.startup(sockets=sockets)
        except OSError as error:
            raise ListenError(f"Cannot listen: {error}") from None
        self.addresses = tuple(sock.getsockname()[:2] for sock in sockets)

    async def tick(self) -> None:
        """Once a second: the Date header."""
        await self._server.on_tick(0)

    @property
    def connections(self) -> set[Any]:
        return self._server.server_state.connections

    def close(self) -> None:
        """Take no new connection, drop the idle ones, and let the others end after their answer."""
        for server in self._server.servers:
            server.close()
        for connection in list(self.connections):
            connection.shutdown()

    async def finish(self, cut: asyncio.Event, seconds: float) -> None:
        """Wait until the requests under way have ended; cut off what is left after ``seconds``."""
        state = self._server.server_state
        deadline = asyncio.get_running_loop().time() + seconds
        while (state.connections or state.tasks) and not cut.is_set():
            if asyncio.get_running_loop().time() > deadline:
                break
            await asyncio.sleep(0.02)
        if state.tasks:
            logger.warning("Cut off %d requests that did not end in time", len(state.tasks))
        for connection in list(state.connections):
            # First the connection, then the task: nobody gets to see the 500 that uvicorn makes of a
            # cancellation.
            connection.transport.abort()
        await asyncio.sleep(0)
        with _cut_off_quietly():
            for task in list(state.tasks):
                task.cancel()
            if state.tasks:
                await asyncio.wait(list(state.tasks), timeout=5)


@contextmanager
def _cut_off_quietly() -> Iterator[None]:
    """In here uvicorn does not log of the requests that we cancel that they have failed."""

    def is_fault(record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))

    errors = logging.getLogger("uvicorn.error")
    errors.addFilter(is_fault)
    try:
        yield
    finally:
        errors.removeFilter(is_fault)


async def serve(
    gateway: Gateway,
    platform: Surroundings,
    *,
    started: Callable[[Addresses], None] | None = None,
) -> None:
    """Serve until told to leave; return when all is ended. `ListenError` if a port is taken."""
    settings = platform.settings
    listeners = settings.listeners
    starting = True
    watch = LoopWatch(platform.telemetry.metrics, settings.telemetry.loop_stall_seconds)

    def ready() -> dict[Attributes, float]:
        up = not starting and not platform.drain.draining and platform.why_not_ready() is None
        return {
            (("service", service.name),): float(up and not service.ready()) for service in gateway.services
        }

    platform.telemetry.metrics.gauge("plexus.ready", ready, "1", "1 if the service is ready, else 0.")
    inside = internal_app(
        platform, gateway.services, starting=lambda: starting, why_not_live=watch.why_not_live
    )
    internal = _Listening(inside, listeners.internal, settings.http)
    public: dict[str, _Listening] = {}
    watcher = Watcher(settings.signing.reload_seconds)
    huge_pages = HugePages(platform.telemetry.metrics) if settings.memory.huge_pages else None
    if listeners.client.enabled:
        public["client"] = _Listening(gateway, listeners.client, settings.http)
    if listeners.federation.enabled:
        tls = ReloadingTls(listeners.federation)
        watcher.add(tls.watched)
        public["federation"] = _Listening(gateway, listeners.federation, settings.http, tls.context)
    calls = _calls(platform)
    all_listening = [
        *([internal] if listeners.internal.enabled else []),
        *([calls] if calls is not None else []),
        *public.values(),
    ]

    cut = asyncio.Event()
    housekeeping: asyncio.Task[None] | None = None
    running = []
    with _signals(platform, cut):
        watch.start()
        try:
            if listeners.internal.enabled:
                await internal.start()
            for service in gateway.services:
                # Before it starts: a service whose start fails half way is stopped as well.
                running.append(service)
                await service.start()
            if calls is not None:
                await calls.start()
            for listening in public.values():
                await listening.start()
            await watcher.start()
            if huge_pages is not None:
                await huge_pages.start()
            housekeeping = asyncio.create_task(_housekeeping(all_listening, settings.http))
            starting = False
            if started is not None:
                started(
                    Addresses(
                        client=public["client"].addresses if "client" in public else (),
                        federation=public["federation"].addresses if "federation" in public else (),
                        internal=internal.addresses,
                        calls=calls.addresses if calls is not None else (),
                    )
                )
            await platform.drain.wait()
            await _first(asyncio.sleep(settings.shutdown.readiness_seconds), cut.wait())
            async with asyncio.TaskGroup() as group:
                for service in gateway.services:
                    group.create_task(_drained(service.name, service.drain, settings.shutdown.drain_seconds))
            for listening in public.values():
                listening.close()
            await asyncio.gather(
                *(item.finish(cut, settings.shutdown.drain_seconds) for item in public.values())
            )
        finally:
            platform.drain.begin()
            if calls is not None and calls.addresses:
                # Its methods are the services': it goes before they stop.
                calls.close()
                await calls.finish(cut, settings.shutdown.drain_seconds)
            for service in reversed(running):
                await _stopped(service.name, service.stop)
            await watcher.stop()
            if huge_pages is not None:
                await huge_pages.stop()
            for listening in all_listening:
                if listening.addresses and listening is not calls:
                    listening.close()
                    await listening.finish(cut, 1)
            if housekeeping is not None:
                housekeeping.cancel()
                await asyncio.gather(housekeeping, return_exceptions=True)
            watch.stop()


def _calls(platform: Surroundings) -> _Listening | None:
    """The listener for calls from other services, if it is on."""
    settings, calls = platform.settings, platform.calls
    if not settings.calls.listener.enabled or not isinstance(calls, HttpCalls):
        return None
    tls = calls.tls.listening if calls.tls is not None else None
    return _Listening(calls_app(calls, platform), settings.calls.listener, settings.http, tls)


def run(main: Coroutine[Any, Any, None], telemetry: TelemetrySettings) -> None:
    """Run a process's main coroutine on uvloop, with its logging and a garbage collector that suits a server.

    What is alive after the start stays for good: `freeze_garbage` takes it out of the collector's sight.
    """
    configure_logging(telemetry)
    # 700 new objects between collections are one sync response; a full collection of a warm process takes 15
    # ms.
    gc.set_threshold(20_000, 20, 50)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)


def freeze_garbage() -> None:
    """Call it after the warm-up."""
    gc.collect()
    gc.freeze()


class _signals:  # noqa: N801 - used as a verb
    """SIGTERM and SIGINT begin to drain; a second one cuts."""

    def __init__(self, platform: Surroundings, cut: asyncio.Event) -> None:
        self._platform = platform
        self._cut = cut

    def _handle(self) -> None:
        if self._platform.drain.draining:
            self._cut.set()
        self._platform.drain.begin()

    def __enter__(self) -> None:
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._handle)

    def __exit__(self, *_: object) -> None:
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


async def _housekeeping(listening: list[_Listening], http: HttpSettings) -> None:
    loop = asyncio.get_running_loop()
    swept = loop.time()
    while True:
        await asyncio.sleep(on_the_beat(1))
        try:
            for item in listening:
                await item.tick()
            if loop.time() - swept >= min(_SWEEP_SECONDS, http.head_timeout_seconds, http.stall_seconds):
                swept = loop.time()
                for item in listening:
                    sweep(item.connections, http)
        except Exception:
            # A round that fails must not be the last: clients that fall silent would be held for ever.
            logger.exception("A round of housekeeping failed")


async def _first(*waits: Coroutine[Any, Any, Any]) -> None:
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()


async def _drained(name: str, drain: Callable[[], Any], seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await drain()
    except TimeoutError:
        logger.warning("%s did not drain in %g s", name, seconds)
    except Exception:
        # One service that cannot drain must not keep the others from it.
        logger.exception("%s failed to drain", name)


async def _stopped(name: str, stop: Callable[[], Any]) -> None:
    try:
        await stop()
    except Exception:
        logger.exception("%s failed to stop", name)
