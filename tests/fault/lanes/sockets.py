"""A fan-out between processes without a broker: datagrams to one Unix socket a follower.

Nothing is retried; what finds no room is lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

from plexus.platform.lanes import Group
from plexus.platform.lanes.records import decode_group, encode_group


class SocketFanout:
    """``folder`` has the sockets of those who subscribe; ``name`` is the one of this process."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._path = folder / name
        self._out = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._out.setblocking(False)
        self._in: socket.socket | None = None
        self._families: frozenset[str] = frozenset()
        self._callback: Callable[[Group], None] | None = None
        self.received = 0

    async def start(self) -> None:
        """Receive from now on; the socket of a killed predecessor is replaced."""
        self._path.unlink(missing_ok=True)
        self._in = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._in.setblocking(False)
        self._in.bind(str(self._path))
        asyncio.get_running_loop().add_reader(self._in, self._receive)

    async def stop(self) -> None:
        if self._in is not None:
            asyncio.get_running_loop().remove_reader(self._in)
            self._in.close()

    def publish(self, group: Group) -> None:
        record = encode_group(group)
        for path in self._folder.iterdir():
            self._send(record, path)

    def subscribe(self, families: Sequence[str], callback: Callable[[Group], None]) -> SocketFanout:
        self._families = frozenset(families)
        self._callback = callback
        return self

    def close(self) -> None:
        self._callback = None

    def _send(self, record: bytes, path: Path) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionRefusedError, FileNotFoundError):
            self._out.sendto(record, str(path))

    def _receive(self) -> None:
        assert self._in is not None
        with contextlib.suppress(BlockingIOError):
            while True:
                group = decode_group(self._in.recv(1 << 16))
                self.received += 1
                if self._callback is not None and group.family in self._families:
                    self._callback(group)
