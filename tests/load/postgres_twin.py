"""Another PostgreSQL like one that runs: same programs, options and configuration files, a folder of its own.

So that a peer is measured over the same database as Plexus is.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg

_CONFIGURATION = ("postgresql.conf", "postgresql.auto.conf")
_PORT = "5432"
_OF_ITS_PLACE = ("unix_socket_directories", "listen_addresses", "port", "data_directory")
"""What is left out when options are carried over: each twin has its own."""


@dataclass(frozen=True)
class Twin:
    """A PostgreSQL that runs: connect as ``plexus`` by its socket folder, default port."""

    pid: int
    sockets: Path


@dataclass(frozen=True)
class PostgresRecipe:
    """How a running PostgreSQL was started; stays good after that one has ended."""

    executable: Path
    options: list[str]
    configuration: dict[str, str]
    uid: int
    gid: int

    @classmethod
    def of(cls, pid: int) -> PostgresRecipe:
        process = psutil.Process(pid)
        data = Path(Path(f"/proc/{pid}/cwd").readlink())
        return cls(
            Path(process.exe()),
            carried_over(process.cmdline()[1:]),
            {name: (data / name).read_text() for name in _CONFIGURATION if (data / name).exists()},
            process.uids().effective,
            process.gids().effective,
        )

    @property
    def version(self) -> str:
        done = subprocess.run([self.executable, "--version"], check=True, capture_output=True, text=True)
        return done.stdout.strip()

    @contextmanager
    def twin(self, folder: Path) -> Iterator[Twin]:
        """Another one on ``folder``, until the block ends."""
        data, sockets = folder / "pgdata", folder / "sockets"
        shutil.rmtree(folder, ignore_errors=True)
        sockets.mkdir(parents=True)
        for path in (folder, sockets):
            os.chown(path, self.uid, self.gid)
        self._initialise(data, folder)
        for name, text in self.configuration.items():
            (data / name).write_text(text)
        place = ["-D", str(data), "-k", str(sockets), "-p", _PORT, "-c", "listen_addresses="]
        process = self._spawn([str(self.executable), *self.options, *place], folder)
        try:
            yield Twin(process.pid, sockets)
        finally:
            process.send_signal(2)
            process.wait(30)

    def _initialise(self, data: Path, folder: Path) -> None:
        initdb = [str(self.executable.with_name("initdb")), "-D", str(data), "-U", "plexus", "--auth=trust"]
        major = int(self.version.split()[2].split(".")[0])
        builtin = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] if major >= 17 else []
        process = self._spawn([*initdb, "--encoding=UTF8", *builtin, "--locale=C"], folder)
        if process.wait(60):
            raise RuntimeError(f"initdb failed:\n{(folder.parent / 'postgres.log').read_text()[-2_000:]}")

    def _spawn(self, command: list[str], folder: Path) -> subprocess.Popen[bytes]:
        """As the user that the original runs as: PostgreSQL refuses root."""
        identity = (self.uid, self.gid) if os.geteuid() == 0 else (None, None)
        with (folder.parent / "postgres.log").open("ab") as log:
            return subprocess.Popen(
                command, cwd=folder, stdout=log, stderr=log, user=identity[0], group=identity[1]
            )


def carried_over(arguments: list[str]) -> list[str]:
    """The options of a command line, as ``-c name=value``, without those that say where it is."""
    options: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        if argument in ("-D", "-k", "-p", "-h"):
            next(rest)
        elif argument == "-c" or argument.startswith("--"):
            setting = next(rest) if argument == "-c" else argument[2:]
            if setting.partition("=")[0] not in _OF_ITS_PLACE:
                options += ["-c", setting]
        elif argument[:2] not in ("-D", "-k", "-p", "-h"):
            options.append(argument)
    return options


def settings_of(sockets: Path, database: str, user: str = "plexus") -> dict[str, str]:
    """The settings that must be equal for a fair comparison."""
    names = ["fsync", "synchronous_commit", "full_page_writes", "shared_buffers", "commit_delay", "jit"]
    with psycopg.connect(host=str(sockets), dbname=database, user=user, autocommit=True) as connection:
        return {name: str(connection.execute(f"SHOW {name}").fetchone()[0]) for name in names}  # type: ignore[index]


def create_database(sockets: Path, name: str) -> None:
    """Wait for PostgreSQL to answer, then make a database with the C collation, as Synapse asks for."""
    deadline = time.monotonic() + 30
    while True:
        try:
            with psycopg.connect(
                host=str(sockets), dbname="postgres", user="plexus", autocommit=True
            ) as connection:
                options = "TEMPLATE template0 ENCODING 'UTF8' LOCALE_PROVIDER libc LOCALE 'C'"
                connection.execute(f"CREATE DATABASE {name} {options}".encode())
                return
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
