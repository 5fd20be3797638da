"""Files that may change while we run: looked at by the clock, loaded again when they differ.

Polling, because mounted secrets change by a renamed link, which inotify in a container does not always show,
and a ``stat`` every few seconds costs nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from plexus.platform.beat import on_the_beat

logger = logging.getLogger(__name__)

Mark = tuple[tuple[int, int, int] | None, ...]


def _mark(paths: Sequence[Path]) -> Mark:
    marks: list[tuple[int, int, int] | None] = []
    for path in paths:
        try:
            stat = path.stat()
        except OSError:
            # Not there, or not to be reached: what `load` says of it is what is told.
            marks.append(None)
        else:
            marks.append((stat.st_ino, stat.st_mtime_ns, stat.st_size))
    return tuple(marks)


class Watched:
    """``load`` is called when one of ``paths`` has changed. If it raises, what was loaded before stays in
    use, the error is logged once (with its traceback unless it is an OSError or a ValueError, by which files
    are refused), and it is tried again at the next look.
    """

    def __init__(self, name: str, paths: Sequence[Path], load: Callable[[], None]) -> None:
        self.name = name
        self._paths = tuple(paths)
        self._load = load
        self._mark = _mark(self._paths)
        self._failed: Mark | None = None

    def check(self) -> bool:
        """Look once; True if something was loaded."""
        mark = _mark(self._paths)
        if mark == self._mark:
            return False
        try:
            self._load()
        except (OSError, ValueError) as error:
            # ssl.SSLError is an OSError. A rotation in two steps is half done at times: keep on.
            if mark != self._failed:
                logger.warning("Cannot reload %s, keeping what was loaded: %s", self.name, error)
            self._failed = mark
            return False
        except Exception:
            # The other files are to be looked at all the same.
            if mark != self._failed:
                logger.exception("Cannot reload %s, keeping what was loaded", self.name)
            self._failed = mark
            return False
        self._mark = mark
        self._failed = None
        logger.info("Reloaded %s", self.name)
        return True


class Watcher:
    """Looks at all its files every ``seconds``."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._watched: list[Watched] = []
        self._task: asyncio.Task[None] | None = None

    def add(self, watched: Watched) -> None:
        self._watched.append(watched)

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="watch files")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(on_the_beat(self._seconds))
            for watched in self._watched:
                watched.check()
