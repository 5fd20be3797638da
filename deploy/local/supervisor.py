"""Programs that are started again when they end by themselves."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from deploy.local.program import Program, ProgramError

log = logging.getLogger(__name__)

_LOOK_EVERY = 0.05
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0
_STEADY_AFTER = 10.0


@dataclass(slots=True)
class Watched:
    """``wanted``: it is started again when it has ended. ``since``: when it was started last."""

    program: Program
    wanted: bool = False
    since: float = 0.0
    restarts: int = 0
    pause: float = field(default=_FIRST_PAUSE, repr=False)
    next_try: float = field(default=0.0, repr=False)


class Supervisor:
    """``changed`` is called after each start."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._watched: dict[str, Watched] = {}
        self._lock = threading.RLock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def __getitem__(self, name: str) -> Watched:
        return self._watched[name]

    def all(self) -> list[Watched]:
        return list(self._watched.values())

    def add(self, program: Program) -> None:
        self._watched[program.name] = Watched(program)

    def launch(self, name: str) -> None:
        """Start, do not wait, and keep it running."""
        watched = self._watched[name]
        with self._lock:
            watched.wanted = True
            self._launch(watched)
        self._changed()

    def release(self, name: str) -> None:
        """Let it be down from now on."""
        with self._lock:
            self._watched[name].wanted = False

    def start(self) -> None:
        """Begin to watch."""
        self._stopping.clear()
        self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Watch no more; the programs go on."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _watch(self) -> None:
        while not self._stopping.wait(_LOOK_EVERY):
            for watched in self._watched.values():
                with self._lock:
                    restarted = self._look_at(watched)
                if restarted:
                    self._changed()

    def _look_at(self, watched: Watched) -> bool:
        now = time.time()
        program = watched.program
        if not watched.wanted or program.running:
            return False
        if watched.next_try == 0:
            if now - watched.since > _STEADY_AFTER:
                watched.pause = _FIRST_PAUSE
            log.warning(
                "%s has ended (%s); it is started again in %g s",
                program.name,
                program.exit_code,
                watched.pause,
            )
            watched.next_try = now + watched.pause
            watched.pause = min(_LONGEST_PAUSE, watched.pause * 2)
        if now < watched.next_try:
            return False
        try:
            self._launch(watched)
        except (ProgramError, OSError, RuntimeError):
            log.exception("%s does not start", program.name)
            watched.since = now
            watched.next_try = 0
            return False
        watched.restarts += 1
        return True

    def _launch(self, watched: Watched) -> None:
        watched.next_try = 0
        watched.program.launch()
        watched.since = time.time()
