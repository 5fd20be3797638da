"""What a process needs for every request, in huge pages.

A request of a quiet server runs from cold caches, and not only its data are cold: so are the tables by which
addresses are found, an entry for every 4 KiB. Python's objects lie in the order in which they were made, and
those that a message needs on some 2,500 such pages. In pages of 2 MiB these are 30 entries
(`docs/decisions/0053-huge-pages.md` has the figures).

The kernel does it for memory that asks (``madvise``), which Python never does. So the process asks for its
heap some seconds after its start, when it is warm, and for what has been added since when it has grown. Linux
from 6.1 on does it at once; before, and where no huge page is free, the kernel gets to it in its own time, or
never. All that is lost then is the gain.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import logging
import re
import resource
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from plexus.platform.beat import on_the_beat
from plexus.platform.heap import page_size
from plexus.platform.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

FIRST_SECONDS: Final = 10.0
"""After the start: whoever lives shorter has no use for it, and the first requests have been."""
LOOK_SECONDS: Final = 15.0
GROWN_BYTES: Final = 16 << 20
"""By how much a process must have grown for another round."""
PAUSE_SECONDS: Final = 0.005
"""Between two huge pages: while one is made, who touches new memory waits."""

_SELF: Final = Path("/proc/self")
_MADV_HUGEPAGE: Final = 14
_MADV_COLLAPSE: Final = 25
_MAPPING: Final = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ (\d+)\s*(.*)")


@dataclass(frozen=True, slots=True)
class Mapping:
    """A stretch of private memory that can be written and belongs to no file; sizes in bytes."""

    start: int
    end: int
    resident: int
    huge: int

    def whole(self, size: int) -> range:
        """The addresses in it at which a whole page of ``size`` begins."""
        return range(-(-self.start // size) * size, self.end - size + 1, size)


class HugePages:
    """Keeps this process's heap in huge pages between `start` and `stop`."""

    def __init__(self, metrics: Metrics) -> None:
        self._size = page_size()
        self._resident = 0
        self._bytes = 0
        self._ended = threading.Event()
        self._task: asyncio.Task[None] | None = None
        metrics.gauge(
            "plexus.memory.huge_pages",
            lambda: {(): float(self._bytes)},
            "By",
            "Memory of the process in huge pages, when it was last looked at.",
        )

    async def start(self) -> None:
        """Nothing where the kernel has no huge pages, or was told never to use them."""
        if self._size:
            self._task = asyncio.create_task(self._run(), name="huge pages")

    async def stop(self) -> None:
        if self._task is not None:
            self._ended.set()
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def ask(self) -> int:
        """Ask for all of the heap; returns how many bytes of it are in huge pages now. Takes some
        10 ms for each huge page that is made, most of it asleep: call it in a thread.
        """
        if not self._size:
            return 0
        for mapping in mappings():
            # A thread's stack is eight megabytes of which some kilobytes are used: it stays as it is.
            if mapping.whole(self._size) and 4 * mapping.resident >= 3 * (mapping.end - mapping.start):
                self._ask_for(mapping)
        self._resident = resident_bytes()
        self._bytes = sum(mapping.huge for mapping in mappings())
        return self._bytes

    def _ask_for(self, mapping: Mapping) -> None:
        if not _advise(mapping.start, mapping.end - mapping.start, _MADV_HUGEPAGE):
            return
        if mapping.huge >= len(mapping.whole(self._size)) * self._size:
            return
        for address in mapping.whole(self._size):
            if self._ended.wait(PAUSE_SECONDS):
                return
            _advise(address, self._size, _MADV_COLLAPSE)

    async def _run(self) -> None:
        pause = FIRST_SECONDS
        while True:
            await asyncio.sleep(on_the_beat(pause))
            pause = LOOK_SECONDS
            try:
                if resident_bytes() < self._resident + GROWN_BYTES:
                    continue
                await asyncio.to_thread(self.ask)
            except Exception:
                logger.exception("The heap stays in small pages")
                return
            logger.info("%d MiB are in huge pages", self._bytes >> 20)


def resident_bytes() -> int:
    """What this process has in memory."""
    pages = int((_SELF / "statm").read_text().split()[1])
    return pages * resource.getpagesize()


def mappings() -> Iterator[Mapping]:
    """The heap of this process, in stretches."""
    found: re.Match[str] | None = None
    sizes: dict[str, int] = {}
    for line in [*(_SELF / "smaps").read_text(errors="replace").splitlines(), "0-0 ---p 0 0 0"]:
        if head := _MAPPING.match(line):
            if found is not None and _is_heap(found):
                start, end = int(found[1], 16), int(found[2], 16)
                yield Mapping(start, end, sizes.get("Rss", 0), sizes.get("AnonHugePages", 0))
            found, sizes = head, {}
        else:
            name, _, value = line.partition(":")
            if value.endswith("kB"):
                sizes[name] = int(value[:-2]) << 10


def _is_heap(mapping: re.Match[str]) -> bool:
    return mapping[3] == "rw-p" and mapping[4] == "0" and mapping[5] in ("", "[heap]")


_libc: Final = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def _advise(address: int, length: int, advice: int) -> bool:
    """False if the kernel does not know the advice, or can not follow it now."""
    assert _libc is not None
    if _libc.madvise(ctypes.c_void_p(address), ctypes.c_size_t(length), ctypes.c_int(advice)) == 0:
        return True
    number = ctypes.get_errno()
    if number not in (errno.EINVAL, errno.ENOMEM, errno.EAGAIN, errno.EBUSY):
        logger.warning("madvise(%d) failed: %s", advice, errno.errorcode.get(number, number))
    return False
