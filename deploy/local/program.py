"""A program that runs beside us: started, waited for, stopped, killed, frozen; its output goes to a file."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self


class ProgramError(Exception):
    """A program that cannot be had or does not start; the message has the end of its log."""


def free_port() -> int:
    """A TCP port of the loopback that was free a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def listens(port: int) -> bool:
    """Whether somebody takes connections at this port of the loopback."""
    with socket.socket() as connection:
        connection.settimeout(0.5)
        return connection.connect_ex(("127.0.0.1", port)) == 0


class Program:
    """The base: a subclass says its ``command`` and when it ``is_ready``.

    ``name`` is for people; ``log`` is the file with its output. It may be started again after it has ended.
    """

    stop_signal = signal.SIGTERM

    def __init__(self, name: str, log: Path) -> None:
        self.name = name
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None

    def command(self) -> Sequence[str]:
        raise NotImplementedError

    def environment(self) -> Mapping[str, str]:
        """The whole environment of the child."""
        return os.environ

    def is_ready(self) -> bool:
        """Whether it does its work now."""
        raise NotImplementedError

    def prepare(self) -> None:
        """What has to be done before the first start; may be done again."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self) -> int:
        if self.process is None:
            raise ProgramError(f"{self.name} was not started")
        return self.process.pid

    def launch(self) -> None:
        """Start, and do not wait."""
        self.prepare()
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            # A group of its own: Ctrl-C at the terminal is for who runs us, who stops the programs in order.
            self.process = subprocess.Popen(
                list(self.command()),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(self.environment()),
                start_new_session=True,
            )

    def wait_ready(self, patience: float = 60) -> float:
        """Wait until it is ready; the seconds that took. `ProgramError` if it ends or takes longer."""
        began = time.monotonic()
        while time.monotonic() < began + patience:
            if not self.running:
                raise ProgramError(f"{self.name} has ended ({self.exit_code}):\n{self.tail()}")
            if self.is_ready():
                return time.monotonic() - began
            time.sleep(0.05)
        raise ProgramError(f"{self.name} is not ready after {patience:g} s:\n{self.tail()}")

    def start(self, patience: float = 60) -> float:
        """`launch`, then `wait_ready`."""
        self.launch()
        return self.wait_ready(patience)

    @property
    def exit_code(self) -> int | None:
        return None if self.process is None else self.process.poll()

    def stop(self, patience: float = 30) -> None:
        """Ask it to end and wait; after ``patience`` seconds it is killed."""
        if self.process is None or not self.running:
            return
        self.signal(signal.SIGCONT)
        self.signal(self.stop_signal)
        try:
            self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """Kill -9."""
        self.signal(signal.SIGKILL)
        if self.process is not None:
            self.process.wait(30)

    def freeze(self) -> None:
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.signal(signal.SIGCONT)

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def tail(self, lines: int = 40) -> str:
        """The last lines of its output."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
