"""Seeing the Leases change, so that one given back is taken at once and an expired one without a first wait.

A list says what there is, a watch what has changed since. Watches end by themselves every few minutes: then
the next goes on from where it ended. When that is too long ago for the API server (410), or anything else
goes wrong, everything is listed again. What is missed in between costs time and no correctness: whoever wants
a Lease reads it and writes over exactly what it read.
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
from collections.abc import Callable
from functools import partial

from plexus.platform.leases.api import Gone, LeaseApi, Seen
from plexus.platform.leases.sightings import Sightings
from plexus.protocol.errors import Unavailable

logger = logging.getLogger(__name__)

_PAUSE_SECONDS = 2.0


class LeaseWatch:
    """A thread that blocks in reads, and tells the event loop what it has read."""

    def __init__(self, api: LeaseApi, sightings: Sightings, *, pause: float = _PAUSE_SECONDS) -> None:
        self._api = api
        self._sightings = sightings
        self._pause = pause
        self._stopped = threading.Event()
        self.lists = 0
        self.watches = 0

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        # Nobody waits for it: a read that has nothing to read ends with the process.
        threading.Thread(target=self._run, name="leases.watch", daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._follow()
            except Gone:
                logger.info("The watch over Leases is too far behind: listing again")
                continue
            except Unavailable:
                logger.info("The watch over Leases broke off: listing again")
            except Exception:
                logger.exception("The watch over Leases failed: listing again")
            self._stopped.wait(self._pause * random.uniform(0.5, 1.5))

    def _follow(self) -> None:
        """List, and watch from there on; returns never, unless it is stopped."""
        seen, version = self._api.list()
        self.lists += 1
        self._tell(partial(self._all, seen))
        while not self._stopped.is_set():
            self.watches += 1
            began = version
            for lease, deleted, reached in self._api.watch(began):
                version = reached
                self._tell(partial(self._one, lease, deleted=deleted))
                if self._stopped.is_set():
                    return
            if version == began:
                # A server that ends each watch at once is not to be asked without a pause.
                self._stopped.wait(self._pause * random.uniform(0.05, 0.15))

    def _all(self, seen: list[Seen]) -> None:
        for lease in seen:
            self._sightings.note(lease)
        for name in self._sightings.names() - {lease.name for lease in seen}:
            self._sightings.forget(name)

    def _one(self, lease: Seen, *, deleted: bool) -> None:
        if deleted:
            self._sightings.forget(lease.name)
        else:
            self._sightings.note(lease)

    def _tell(self, what: Callable[[], None]) -> None:
        if not self._stopped.is_set() and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(what)
