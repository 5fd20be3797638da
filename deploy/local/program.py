"""A program that runs beside us: started, waited for, stopped, killed, frozen; its output goes to a file.

It is killed when we end without stopping it, however we end.
"""

from __future__ import annotations

import os
import queue
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self


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
    port: int
    """Where it listens on the loopback."""

    def __init__(self, name: str, log: Path) -> None:
        self.name = name
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None

    def command(self) -> Sequence[str]:
        raise NotImplementedError

    def environment(self) -> Mapping[str, str]:
        """The whole environment of the child."""
        return os.environ

    def popen_arguments(self) -> Mapping[str, Any]:
        """More for `subprocess.Popen`: a working folder, an account."""
        return MappingProxyType({})

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
            self.process = _born_of_one_thread(
                lambda: subprocess.Popen(
                    [*_dies_with_us(), *self.command()],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=dict(self.environment()),
                    # A group of its own: Ctrl-C at the terminal is for who runs us, who stops the programs in
                    # order.
                    start_new_session=True,
                    **self.popen_arguments(),
                )
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
        process = self.process
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGCONT)
        process.send_signal(self.stop_signal)
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(30)

    def kill(self) -> None:
        """Kill -9."""
        process = self.process  # this one: somebody may start it again at once
        if process is None:
            raise ProgramError(f"{self.name} was not started")
        process.kill()
        process.wait(30)

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


@cache
def _dies_with_us() -> tuple[str, ...]:
    """What to put before a command so that the kernel kills it when we are gone."""
    setpriv = shutil.which("setpriv")
    return () if setpriv is None else (setpriv, "--pdeathsig", "KILL", "--")


def _born_of_one_thread(start: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
    """For the kernel "we" is the thread that started the child: so one thread, which lives as long as the
    process, starts them all.
    """
    answer: queue.SimpleQueue[subprocess.Popen[bytes] | BaseException] = queue.SimpleQueue()
    _births().put((start, answer))
    made = answer.get()
    if isinstance(made, BaseException):
        raise made
    return made


_Birth = tuple[
    Callable[[], subprocess.Popen[bytes]], "queue.SimpleQueue[subprocess.Popen[bytes] | BaseException]"
]


@cache
def _births() -> queue.SimpleQueue[_Birth]:
    births: queue.SimpleQueue[_Birth] = queue.SimpleQueue()

    def work() -> None:
        while True:
            start, answer = births.get()
            try:
                answer.put(start())
            except BaseException as error:  # noqa: BLE001 - raised again where the start was asked for
                answer.put(error)

    threading.Thread(target=work, name="programs", daemon=True).start()
    return births
