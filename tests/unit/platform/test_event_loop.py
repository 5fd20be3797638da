"""The watch over the event loop: lag, stalls with their stack, and what liveness says, in a real process."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from plexus.platform.telemetry import LoopWatch, Metrics
from plexus.platform.telemetry.event_loop import HEARTBEAT_SECONDS

MAIN = """
import asyncio, time
from tests.unit.platform.surroundings import surroundings
from plexus.platform.http import Gateway, HotRoute, make_app, run, send_json, serve
from plexus.platform.service import Service

async def stick(scope, receive, send, params):
    time.sleep(float(params["seconds"]))
    await send_json(send, 200, b"{}")

async def main():
    ports = {"client": {"port": 0}, "internal": {"port": 0}}
    around = surroundings(listeners=ports, telemetry={"loop_stall_seconds": 1})
    hot = [HotRoute("GET", "/stick/{seconds}", stick, {"operationId": "stick"})]
    gateway = Gateway([Service("sticky", make_app("sticky"), hot)], around)
    show = lambda at: print(at.client[0][1], at.internal[0][1], flush=True)
    await serve(gateway, around, started=show)

run(main(), surroundings().settings.telemetry)
"""


@dataclass
class Sticky:
    """A process whose event loop can be held up."""

    process: subprocess.Popen[str]
    client: int
    internal: int

    def get(self, port: int, path: str, timeout: float = 20) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=timeout) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def live(self, timeout: float = 20) -> int:
        return self.get(self.internal, "/health/live", timeout)[0]

    def stalls(self) -> float:
        text = self.get(self.internal, "/metrics")[1]
        line = next(line for line in text.splitlines() if line.startswith("plexus_eventloop_stalls_total"))
        return float(line.rpartition(" ")[2])


@pytest.fixture
def sticky() -> Iterator[Sticky]:
    process = subprocess.Popen(
        [sys.executable, "-c", MAIN], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        client, internal = map(int, process.stdout.readline().split())
        yield Sticky(process, client, internal)
    finally:
        process.kill()
        process.communicate()


async def test_a_loop_that_sticks_fails_liveness_and_says_where(sticky: Sticky) -> None:
    assert sticky.live() == 200
    stuck = asyncio.create_task(asyncio.to_thread(sticky.get, sticky.client, "/stick/4"))
    await asyncio.sleep(0.5)
    # A probe gets no answer while it sticks ...
    with pytest.raises(TimeoutError):
        await asyncio.to_thread(sticky.live, 0.5)
    assert (await stuck)[0] == 200
    # ... and a 503 for a while after; one stall is counted once, however long it was.
    assert sticky.live() == 503
    assert sticky.stalls() == 1
    sticky.process.send_signal(signal.SIGTERM)
    _, errors = await asyncio.to_thread(sticky.process.communicate, timeout=20)
    assert sticky.process.returncode == 0
    told = [json.loads(line) for line in errors.splitlines() if "stood still" in line]
    assert len(told) == 1
    assert "in stick" in told[0]["message"]
    assert "time.sleep(float" in told[0]["message"] or "<string>" in told[0]["message"]


async def test_a_process_that_was_stopped_has_not_stalled(sticky: Sticky) -> None:
    os.kill(sticky.process.pid, signal.SIGSTOP)
    await asyncio.sleep(3)
    os.kill(sticky.process.pid, signal.SIGCONT)
    assert await asyncio.to_thread(sticky.live) == 200
    assert await asyncio.to_thread(sticky.stalls) == 0


async def test_lag_is_recorded(caplog: pytest.LogCaptureFixture) -> None:
    metrics = Metrics()
    watch = LoopWatch(metrics, 60)
    watch.start()
    await asyncio.sleep(0.3)
    time.sleep(2 * HEARTBEAT_SECONDS)
    await asyncio.sleep(2 * HEARTBEAT_SECONDS)
    watch.stop()
    cell = metrics.histogram("plexus.eventloop.lag").labels()
    assert sum(cell.counts) >= 3
    assert cell.total >= 0.25
    assert watch.why_not_live() is None
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
