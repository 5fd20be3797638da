"""Debian's PostgreSQL 15 on a port of the loopback. What is committed is flushed to the disk."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg
from plexus.platform.embedded import data_folder
from plexus.platform.embedded.account import choose_account, give

from deploy.local.installing import need
from deploy.local.program import Program, ProgramError, listens

MAJOR = 15
SUPERUSER = "plexus"
DATABASE = "plexus"

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    # pgbouncer's pools, and the owner's connections beside them.
    "max_connections": "200",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
    # Microseconds that a commit waits for others: see plexus.platform.embedded.
    "commit_delay": "300",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %u ",
}


class PostgresServer(Program):
    """``folder`` gets the data folder. ``settings`` win over `SETTINGS`."""

    stop_signal = signal.SIGINT  # "fast": running transactions are rolled back

    def __init__(
        self, folder: Path, port: int, log: Path | None = None, settings: Mapping[str, str] | None = None
    ) -> None:
        super().__init__("postgres", log or folder / "log")
        self.data = folder.absolute() / "data"
        self.port = port
        self._open: int | None = None
        self._settings = SETTINGS | {"port": str(port)} | dict(settings or {})

    def dsn(self, role: str = SUPERUSER, database: str = DATABASE) -> str:
        return psycopg.conninfo.make_conninfo(host="127.0.0.1", port=self.port, user=role, dbname=database)

    def prepare(self) -> None:
        self._binaries = need("pg_ctl")["pg_ctl"].resolve().parent
        self.data.parent.mkdir(parents=True, exist_ok=True)
        self._account = choose_account(self.data)
        if not self.data.exists():
            self._create()
        data_folder.check(self.data, MAJOR, self._account)
        # After kill -9 its children take a moment to notice.
        data_folder.clear(self.data)
        if self._open is not None:
            os.close(self._open)
        self._open = os.open(self.data, os.O_RDONLY | os.O_DIRECTORY)

    def _create(self) -> None:
        """Whole or not at all."""
        aside = self.data.with_name("data.new")
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(mode=0o700)
        give(self._account, aside)
        opened = os.open(aside, os.O_RDONLY | os.O_DIRECTORY)
        try:
            made = subprocess.run(
                [
                    *(str(self._binaries / "initdb"), "-D", f"/proc/self/fd/{opened}", "-U", SUPERUSER),
                    *("--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8"),
                ],
                capture_output=True,
                text=True,
                check=False,
                env=data_folder.environment(),
                **self._passing(opened),
            )
        finally:
            os.close(opened)
        if made.returncode:
            raise ProgramError(f"initdb failed in {self.data}: {made.stderr.strip()}")
        aside.rename(self.data)

    def _passing(self, opened: int) -> Mapping[str, Any]:
        """The account may not be able to follow the path to the folder, so it gets the folder opened. (Where
        it stands is no help: PostgreSQL 15 goes elsewhere and back when it looks for its own programs.)
        """
        account = {} if self._account is None else self._account.popen_arguments()
        return {"pass_fds": (opened,), "cwd": "/", **account}

    def command(self) -> Sequence[str]:
        command = [str(self._binaries / "postgres"), "-D", f"/proc/self/fd/{self._open}"]
        for name, value in self._settings.items():
            command += ["-c", f"{name}={value}"]
        return command

    def environment(self) -> Mapping[str, str]:
        return data_folder.environment()

    def popen_arguments(self) -> Mapping[str, Any]:
        assert self._open is not None
        return self._passing(self._open)

    def is_ready(self) -> bool:
        """Takes connections, and has the database (which the first call makes)."""
        found = data_folder.PidFile.read(self.data)
        if found is None or found.pid != self.pid or found.status != "ready" or not listens(self.port):
            return False
        try:
            with psycopg.connect(
                self.dsn(database="postgres"), autocommit=True, connect_timeout=2
            ) as connection:
                known = connection.execute("SELECT FROM pg_database WHERE datname = %s", (DATABASE,))
                if known.fetchone() is None:
                    connection.execute("CREATE DATABASE plexus")
        except psycopg.OperationalError:
            return False
        return True
