"""The server process: started, watched, stopped."""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import psycopg
from plexus.platform.embedded import data_folder
from plexus.platform.embedded.account import Account, can_reach, choose_account, give
from plexus.platform.embedded.binaries import major_version, reachable_binaries, wheel_binaries
from plexus.platform.embedded.data_folder import EmbeddedPostgresError, PidFile

log = logging.getLogger(__name__)

MAJOR = 18
SUPERUSER = "plexus"
DATABASE = "plexus"

_SOCKET_PORT = 5432
_LONGEST_SOCKET_FOLDER = 107 - len("/.s.PGSQL.5432.lock")
_SHORT = "plexus-socket-"
_MOST_LOG_BYTES = 10_000_000

# For a machine shared with us. fsync, synchronous_commit and full_page_writes stay on.
SETTINGS: Mapping[str, str] = {
    "shared_buffers": "128MB",
    "max_wal_size": "512MB",
    "max_connections": "100",
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
    # Microseconds that a commit waits for others when at least five are under way: with 16 writers 12 % less
    # CPU and 20 % more commits.
    "commit_delay": "300",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "unix_socket_permissions": "0700",
}


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens."""

    socket_folder: str
    port: int

    def dsn(self, role: str = SUPERUSER, database: str = DATABASE) -> str:
        return psycopg.conninfo.make_conninfo(
            host=self.socket_folder, port=self.port, user=role, dbname=database
        )


def running(folder: Path) -> Address | None:
    """The server that some process runs on this folder now: for commands beside a running Plexus."""
    data = folder / "data"
    if not data.exists():
        return None
    found = data_folder.is_served(data)
    return None if found is None or found.status != "ready" else Address(found.socket_folder, found.port)


class EmbeddedPostgres:
    """``folder`` holds all state: ``data``, the server's ``log``, its socket (unless the path is too long)
    and a lock. ``port``: also listen on that port of the loopback address, for tools (no password there
    either). ``binaries``: other programs than the wheel's. ``settings`` win over `SETTINGS`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        binaries: Path | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder.absolute()
        self.data = self.folder / "data"
        self._binaries = binaries
        self._port = port or _SOCKET_PORT
        self._settings = dict(SETTINGS)
        if port is not None:
            self._settings["listen_addresses"] = "127.0.0.1"
        self._settings |= settings or {}
        self._account: Account | None = None
        self._address: Address | None = None
        self._lock: IO[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None
        self._supervisor: threading.Thread | None = None
        self._stopping = threading.Event()

    @property
    def pid(self) -> int | None:
        """The server's process, None if it does not run."""
        return None if self._process is None else self._process.pid

    def dsn(self, role: str = SUPERUSER, database: str = DATABASE) -> str:
        """How to connect. Roles: ``plexus`` (owner), ``plexus_writer``, ``plexus_reader``."""
        if self._address is None:
            raise EmbeddedPostgresError("the embedded server has not been started")
        return self._address.dsn(role, database)

    def start(self) -> None:
        """Start and wait until connections are accepted; make the data folder and the database when missing.

        Blocks for about a second (two the first time); `EmbeddedPostgresError` says what is wrong.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self._take_lock()
        try:
            self._account = choose_account(self.data)
            binaries = self._binaries or wheel_binaries(MAJOR)
            self._binaries = reachable_binaries(binaries, self._account)
            major = major_version(self._binaries)
            if not self.data.exists():
                flush = self._settings.get("fsync") != "off"
                data_folder.create(self.data, self._binaries, major, self._account, SUPERUSER, flush=flush)
            data_folder.check(self.data, major, self._account)
            data_folder.clear(self.data)
            self._remove_short_folder()
            self._address = Address(str(self._socket_folder()), self._port)
            self._stopping.clear()
            self._launch()
            self._make_database()
        except BaseException:
            self.stop()
            raise
        self._supervisor = threading.Thread(target=self._supervise, name="postgres", daemon=True)
        self._supervisor.start()

    def stop(self) -> None:
        """Stop fast: running transactions are rolled back, everything committed is on disk."""
        self._stopping.set()
        self._end_watchdog()
        process = self._process
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                log.warning("PostgreSQL does not stop; it will recover from its log at the next start")
                process.send_signal(signal.SIGQUIT)
                process.wait(10)
        if self._supervisor is not None:
            self._supervisor.join()
        self._process = self._supervisor = None
        if self._lock is not None:
            self._remove_short_folder()
            self._lock.close()
            self._lock = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _take_lock(self) -> None:
        lock = (self.folder / "lock").open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            lock.close()
            raise EmbeddedPostgresError(
                f"{self.folder} is in use by another Plexus (process {holder})"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock

    def _socket_folder(self) -> Path:
        folder = self.folder / "run"
        if len(os.fsencode(folder)) <= _LONGEST_SOCKET_FOLDER:
            folder.mkdir(mode=0o700, exist_ok=True)
            give(self._account, folder)
            if can_reach(self._account, folder):
                return folder
        short = Path(tempfile.mkdtemp(prefix=_SHORT))
        (self.folder / "socket-folder").write_text(str(short))
        give(self._account, short)
        return short

    def _remove_short_folder(self) -> None:
        # Also the one of a predecessor that was killed: its name is kept.
        note = self.folder / "socket-folder"
        if note.exists():
            left = Path(note.read_text())
            # A copied folder may name the original's, which is in use.
            if left.name.startswith(_SHORT) and left.is_dir() and not any(left.iterdir()):
                left.rmdir()
            note.unlink()

    def _launch(self) -> None:
        assert self._binaries is not None and self._address is not None
        settings = {"listen_addresses": "", **self._settings}
        settings |= {"unix_socket_directories": self._address.socket_folder, "port": str(self._address.port)}
        place = data_folder.placed(self.data, self._account)
        command = [str(self._binaries / "postgres"), "-D", place.name]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        with self._open_log() as output:
            self._process = subprocess.Popen(  # noqa: S603
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=data_folder.environment(),
                # Ctrl-C in a terminal is for us: the server stops after the services.
                start_new_session=True,
                **place.popen_arguments,
            )
        self._start_watchdog(self._process.pid)
        self._wait_until_ready(self._process)

    def _open_log(self) -> IO[bytes]:
        path = self.folder / "log"
        if path.exists() and path.stat().st_size > _MOST_LOG_BYTES:
            path.replace(self.folder / "log.1")
        return path.open("ab")

    def _start_watchdog(self, pid: int) -> None:
        # It reads from a pipe of which we alone hold the other end, so it learns of our death, however we
        # die. (PR_SET_PDEATHSIG would fire when the *thread* that started the server ends.)
        arguments = {} if self._account is None else self._account.popen_arguments()
        self._watchdog = subprocess.Popen(  # noqa: S603
            ["/bin/sh", "-c", 'read -r _; kill -INT "$1"', "plexus-postgres-watchdog", str(pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
            **arguments,
        )

    def _end_watchdog(self) -> None:
        # Before the server ends, lest it signals a process that got the same number.
        watchdog, self._watchdog = self._watchdog, None
        if watchdog is not None:
            watchdog.kill()
            watchdog.communicate()

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        # No time limit: after a crash the server replays its log first, and giving up would only begin that
        # anew.
        while True:
            code = process.poll()
            if code is not None:
                raise EmbeddedPostgresError(f"PostgreSQL ended with code {code}: {self._log_tail()}")
            found = PidFile.read(self.data)
            if found is not None and found.pid == process.pid and found.status == "ready":
                return
            time.sleep(0.02)

    def _log_tail(self) -> str:
        lines = (self.folder / "log").read_text(errors="replace").splitlines()
        told = [line for line in lines[-20:] if "FATAL" in line or "HINT" in line or "PANIC" in line]
        return " ".join(told or lines[-3:])

    def _make_database(self) -> None:
        with psycopg.connect(self.dsn(database="postgres"), autocommit=True) as connection:
            if (
                connection.execute("SELECT FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone()
                is None
            ):
                connection.execute("CREATE DATABASE plexus")

    def _supervise(self) -> None:
        while True:
            process = self._process
            assert process is not None
            code = process.wait()
            if self._stopping.is_set():
                return
            log.error("PostgreSQL ended with code %d; it is started again", code)
            self._end_watchdog()
            while not self._stopping.is_set():
                try:
                    data_folder.clear(self.data)
                    self._launch()
                    break
                except Exception:
                    # Whatever it is: without this thread the database stays down until somebody looks.
                    log.exception("PostgreSQL does not start")
                    self._stopping.wait(1.0)
            if self._stopping.is_set() and self._process is not None and self._process.poll() is None:
                self._process.send_signal(signal.SIGINT)
