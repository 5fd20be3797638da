"""A standby: a base backup of a running server, which can be promoted."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from plexus.platform.embedded import EmbeddedPostgres
from plexus.platform.embedded.account import choose_account, give
from plexus.platform.migrate import migrate

from deploy.local.installing import need
from deploy.local.program import Program, ProgramError, free_port


@contextmanager
def migrated_primary(*programs: str) -> Iterator[tuple[Path, int, EmbeddedPostgres]]:
    """A folder, a port, and there a primary with Plexus' tables, by Debian's PostgreSQL 15.

    The test skips itself where that or one of ``programs`` is not to be had.
    """
    try:
        binaries = need("pg_ctl", *programs)["pg_ctl"].resolve().parent
    except ProgramError as error:
        pytest.skip(str(error))
    folder = Path(tempfile.mkdtemp(prefix="plexus-test-"))
    folder.chmod(0o755)
    port = free_port()
    with EmbeddedPostgres(folder / "primary", port=port, binaries=binaries) as primary:
        migrate(primary.dsn())
        yield folder, port, primary
    shutil.rmtree(folder)


class Standby(Program):
    """A copy of the server at ``primary`` (a port of the loopback) as it is now, by Debian's PostgreSQL 15.

    It follows nobody, unless it ``follows``: whatever the primary commits from now on is lost when this one
    is promoted.
    """

    stop_signal = signal.SIGINT

    def __init__(self, folder: Path, primary: int, *, follows: bool = False) -> None:
        super().__init__("standby", folder / "standby.log")
        self.port = free_port()
        self._follows = primary if follows else None
        self._binaries = need("pg_ctl")["pg_ctl"].resolve().parent
        folder.mkdir(mode=0o755)
        self._account = choose_account(folder / "data")
        give(self._account, folder)
        self._data = folder / "data"
        self._run("pg_basebackup", "-h", "127.0.0.1", "-p", str(primary), "-U", "plexus", "-c", "fast", "-D")
        (self._data / "standby.signal").touch()

    def command(self) -> Sequence[str]:
        words = [str(self._binaries / "postgres"), "-D", str(self._data)]
        settings = [f"port={self.port}", "listen_addresses=127.0.0.1", "unix_socket_directories="]
        if self._follows is not None:
            settings.append(f"primary_conninfo=host=127.0.0.1 port={self._follows} user=plexus")
        for setting in settings:
            words += ["-c", setting]
        if self._account is None:
            return words
        who = [f"--reuid={self._account.uid}", f"--regid={self._account.gid}", "--clear-groups"]
        return ["setpriv", *who, *words]

    def is_ready(self) -> bool:
        try:
            psycopg.connect(self.dsn("plexus")).close()
        except psycopg.OperationalError:
            return False
        return True

    def dsn(self, role: str) -> str:
        return f"host=127.0.0.1 port={self.port} user={role} dbname=plexus"

    def promote(self) -> None:
        """Make it a primary of its own, on the next timeline."""
        self._run("pg_ctl", "promote", "-w", "-D")

    def replay(self, *, on: bool) -> None:
        """Let it take what comes from the primary, or stand still."""
        with psycopg.connect(self.dsn("plexus"), autocommit=True) as connection:
            connection.execute("SELECT pg_wal_replay_resume()" if on else "SELECT pg_wal_replay_pause()")

    def _run(self, program: str, *words: str) -> None:
        arguments = {} if self._account is None else self._account.popen_arguments()
        command = [str(self._binaries / program), *words, str(self._data)]
        environment = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
        subprocess.run(command, check=True, capture_output=True, cwd="/", env=environment, **arguments)
