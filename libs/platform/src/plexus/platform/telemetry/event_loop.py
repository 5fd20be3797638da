"""Whether the event loop turns: how late it is, and what it does when it stands still.

1. A heartbeat once a second records how late the loop called it: ``plexus.eventloop.lag``.
2. A thread watches the heartbeat. Once one has been overdue for ``telemetry.loop_stall_seconds`` it writes
   where the loop's thread is, once a stall, and counts it: ``plexus.eventloop.stalls``.
3. `why_not_live` has a reason for `SHOWN_SECONDS` after a stall. While the loop stands still no probe is
   answered anyway; this way each stall fails a probe also if it fell between two. An orchestrator that
   restarts after three failures in a row, ten seconds apart, forgives one stall and not a series.

A process that was stopped as a whole (SIGSTOP, a frozen machine) has not stalled: the thread stood still too,
so when it has slept for too long it counts from then on.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
import traceback

from plexus.platform.beat import on_the_beat
from plexus.platform.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 1.0
"""Each wakes a process that has nothing to do. That it is seldom does not blur the lag, which is how late
this one was; it makes a stall known a second later at most."""
SHOWN_SECONDS = 15.0

_LOOKS = 5
"""How often the thread looks within the time that makes a stall, once it has reason to."""


class LoopWatch:
    """Watches the running event loop between `start` and `stop`."""

    def __init__(self, metrics: Metrics, stall_seconds: float) -> None:
        self._stall_seconds = stall_seconds
        self._lag = metrics.histogram(
            "plexus.eventloop.lag", "s", "How late the event loop calls what is due."
        ).labels()
        self._stalls = metrics.counter(
            "plexus.eventloop.stalls", "1", "Times that the event loop stood still for too long."
        ).labels()
        self._beats = 0
        self._due = 0.0
        self._expected = 0.0
        self._handle: asyncio.TimerHandle | None = None
        self._loop_thread = 0
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._stalled_until: float | None = None

    def start(self) -> None:
        """Call it in the event loop's thread."""
        self._loop_thread = threading.get_ident()
        self._due = asyncio.get_running_loop().time()
        self._beat()
        self._thread = threading.Thread(target=self._watch, name="event-loop-watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def why_not_live(self) -> str | None:
        """What to tell who asks whether the process lives; None if it does."""
        until = self._stalled_until
        if until is None or time.monotonic() > until:
            return None
        return "the event loop stood still for too long"

    def _beat(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._lag.record(max(0.0, now - self._due))
        self._beats += 1
        until_next = on_the_beat(HEARTBEAT_SECONDS)
        self._due = now + until_next
        # For the thread, which must not ask the loop for its time.
        self._expected = time.monotonic() + until_next
        self._handle = loop.call_at(self._due, self._beat)

    def _watch(self) -> None:
        again = pause = self._stall_seconds / _LOOKS
        seen, silent, slept = -1, 0, time.monotonic()
        while not self._ended.wait(pause):
            now = time.monotonic()
            overslept, slept = now > slept + pause + again, now
            left = self._expected + self._stall_seconds - again - now
            if self._beats != seen or left > 0:
                # Not earlier: a thread that wakes costs about as much as the beat does.
                seen, silent, pause = self._beats, 0, max(left, again)
                continue
            pause = again
            if overslept:
                silent = 1
            elif silent == 0:
                silent = _LOOKS - 1  # it has been silent for all of the last pause
            else:
                silent += 1
            if silent >= _LOOKS:
                self._stalled_until = now + SHOWN_SECONDS
            if silent == _LOOKS:
                self._stalls.add()
                frame = sys._current_frames().get(self._loop_thread)
                where = "".join(traceback.format_stack(frame)) if frame is not None else "(no such thread)"
                log.error(
                    "the event loop has stood still for %g s, here:\n%s", self._stall_seconds, where.rstrip()
                )
