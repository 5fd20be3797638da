"""A Redis for a cluster on one machine and for tests: nothing of it is ever written to disk."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from pathlib import Path

from deploy.local.installing import need
from deploy.local.program import Program, free_port


class RedisServer(Program):
    """``folder`` gets its log. After `kill` and `start` it is empty, at the same address."""

    def __init__(self, folder: Path, *, port: int | None = None) -> None:
        super().__init__("redis", folder / "redis.log")
        self.folder = folder
        self.port = port or free_port()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def command(self) -> Sequence[str]:
        options = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "dir": str(self.folder),
            "save": "",
            "appendonly": "no",
            # A full Redis that says so is better than one that forgets in silence.
            "maxmemory-policy": "noeviction",
            # How often a second it looks after itself, instead of ten times: half of what it takes when idle.
            "hz": "2",
            "daemonize": "no",
        }
        program = str(need("redis-server")["redis-server"])
        return [program, *(word for name, value in options.items() for word in (f"--{name}", value))]

    def prepare(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)

    def is_ready(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=0.5) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False
