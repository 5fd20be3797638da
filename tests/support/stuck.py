"""A test that goes on after its timeout: what it waits for is told, and the run ends.

pytest-timeout raises in whatever Python is running. Where that is a task or a callback of asyncio, the loop
takes the exception for the end of that task and goes on, and so does the test, for ever. Some seconds later a
thread writes where each thread and each task is, and ends the process: a run that hangs tells nothing.
"""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

import pytest

GRACE = "PLEXUS_TEST_GRACE"
"""Seconds that a test has after its timeout for its own end, instead of 30."""

EXIT_CODE = 70


def first(thing: object, *names: str) -> Any:
    """The first of these attributes that there is and that is not None."""
    return next((found for name in names if (found := getattr(thing, name, None)) is not None), None)


def frames(task: asyncio.Task[object]) -> Iterator[str]:
    """Where a task is, from its coroutine inwards to what it awaits."""
    awaited: object = task.get_coro()
    while awaited is not None:
        frame = first(awaited, "cr_frame", "ag_frame", "gi_frame")
        if frame is None:
            yield f"  waits for {awaited!r}"
            return
        yield f'  File "{frame.f_code.co_filename}", line {frame.f_lineno} in {frame.f_code.co_qualname}'
        awaited = first(awaited, "cr_await", "ag_await", "gi_yieldfrom")


def tell(nodeid: str, out: TextIO) -> None:
    """Write where all threads and all tasks are. Called from a thread of its own, so of things that move."""
    print(f"\n{nodeid} goes on after its timeout", file=out, flush=True)
    faulthandler.dump_traceback(out, all_threads=True)
    for thing in gc.get_objects():
        if isinstance(thing, asyncio.Task) and not thing.done():
            print(f"\nTask {thing.get_name()}:", *frames(thing), sep="\n", file=out)
    out.flush()


def timeout(item: pytest.Item) -> float:
    """The timeout of a test in seconds, 0 for none: its mark's, the command line's, or the project's."""
    marker = item.get_closest_marker("timeout")
    if marker is not None and marker.args:
        return float(marker.args[0])
    given = item.config.getoption("timeout", None)
    return float(given if given is not None else item.config.getini("timeout") or 0)


class Watchdog:
    """Watches over one test at a time; ``out`` is where the run writes, whatever is captured."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._grace = float(os.environ.get(GRACE, "30"))

    @contextmanager
    def over(self, item: pytest.Item) -> Iterator[None]:
        seconds = timeout(item)
        if not seconds:
            yield
            return
        timer = threading.Timer(seconds + self._grace, self._end, [item.nodeid])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _end(self, nodeid: str) -> None:
        try:
            tell(nodeid, self._out)
        finally:
            os._exit(EXIT_CODE)
