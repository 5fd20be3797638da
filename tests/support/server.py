"""A Plexus of one's own: `plexus up` as a child process, on a folder and ports that nobody else uses."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType

import psutil

PLEXUS = Path(sys.executable).with_name("plexus")

OPEN = {
    "PLEXUS_REGISTRATION__MODE": "open",
    "PLEXUS_RATE_LIMITS__ENABLED": "false",
    "PLEXUS_PASSWORDS__HASH_TIME_COST": "1",
    "PLEXUS_PASSWORDS__HASH_MEMORY_KIB": "64",
}
"""Settings of a server that tests may drive as hard as they like."""


def free_port() -> int:
    """A TCP port of the loopback that was free a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class PlexusServer:
    """`plexus up` on `data`. `start`, `stop`, `kill` may be called again and again; the port stays the same.

    :param settings: environment variables laid over `OPEN`.
    """

    def __init__(self, data: Path, settings: dict[str, str] | None = None) -> None:
        self.data = data
        self.port = free_port()
        self.internal_port = free_port()
        self.base_url = f"http://127.0.0.1:{self.port}"
        self.internal_url = f"http://127.0.0.1:{self.internal_port}"
        self.settings = OPEN | (settings or {})
        self.log = data.with_name(data.name + ".log")
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> PlexusServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.running:
            self.stop()
        self._end_postgres()

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None, "not started"
        return self._process.pid

    def command(self) -> list[str]:
        ports = ["--port", str(self.port), "--internal-port", str(self.internal_port)]
        return [str(PLEXUS), "up", "--data", str(self.data), *ports]

    def start(self, patience: float = 60) -> float:
        """Start, and wait until it answers. Returns the seconds that took; raises with its log if it dies."""
        assert not self.running, "already running"
        environment = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith("PLEXUS_") or key == "PLEXUS_TEST_TORTURE"
        }
        started = time.monotonic()
        self.data.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command(), stdout=log, stderr=subprocess.STDOUT, env=environment | self.settings
            )
        while time.monotonic() < started + patience:
            if self._process.poll() is not None:
                raise RuntimeError(f"plexus up ended with {self._process.returncode}:\n{self.tail()}")
            if self.answers():
                return time.monotonic() - started
            time.sleep(0.02)
        raise RuntimeError(f"plexus up did not answer within {patience} s:\n{self.tail()}")

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.base_url}/_matrix/client/versions", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def tail(self, lines: int = 60) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def wait(self, patience: float = 30) -> int:
        """Wait for the end; returns the exit code."""
        assert self._process is not None, "not started"
        return self._process.wait(patience)

    def stop(self, patience: float = 30) -> int:
        """SIGTERM, as an init system would; returns the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait(patience)

    def kill(self) -> None:
        """kill -9 of the server process alone; its PostgreSQL is left to find out."""
        self.signal(signal.SIGKILL)
        self.wait()

    def postgres_pid(self) -> int | None:
        """The postmaster whose data folder lies within ours, if one runs."""
        for path in self.data.rglob("postmaster.pid"):
            with contextlib.suppress(psutil.Error, ValueError, IndexError):
                process = psutil.Process(int(path.read_text().splitlines()[0]))
                if process.name() == "postgres":
                    return int(process.pid)
        return None

    def tree(self) -> tuple[list[int], list[int]]:
        """Process ids: (Plexus itself, its PostgreSQL with all backends)."""
        own = [self.pid]
        postgres: list[int] = []
        for child in psutil.Process(self.pid).children(recursive=True):
            (postgres if child.name().startswith("postgres") else own).append(child.pid)
        return own, postgres

    def _end_postgres(self) -> None:
        """A killed server may leave its PostgreSQL behind for the next start; nothing of a test may stay."""
        pid = self.postgres_pid()
        if pid is None:
            return
        process = psutil.Process(pid)
        process.send_signal(signal.SIGINT)
        try:
            process.wait(10)
        except psutil.TimeoutExpired:
            process.kill()
