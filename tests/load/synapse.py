"""Synapse as a peer to measure against: an environment of its own, PostgreSQL started as for Plexus.

Installed from the package index as released, never read or copied from. All below build/peer.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg
import yaml

from tests.support.server import free_port

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = ROOT / "build" / "peer" / "env"
REQUIREMENTS = ["matrix-synapse==1.163.2", "psycopg2-binary==2.9.*", "setuptools<81"]


@dataclass(frozen=True)
class Peer:
    base_url: str
    synapse: int
    postgres: int
    """Process ids."""


def install() -> Path:
    """The Python of an environment with Synapse in it, made when it is missing."""
    python = ENVIRONMENT / "bin" / "python"
    done = ENVIRONMENT / ".done"
    wanted = "\n".join(REQUIREMENTS)
    if not done.exists() or done.read_text() != wanted:
        print("· installing Synapse into build/peer", flush=True)
        uv = str(Path(sys.executable).with_name("uv"))
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(ENVIRONMENT)], check=True)
        command = [uv, "pip", "install", "-q", "--python", str(python), "--only-binary", ":all:"]
        subprocess.run([*command, *REQUIREMENTS], check=True)
        done.write_text(wanted)
    return python


@dataclass(frozen=True)
class PostgresRecipe:
    """How a running embedded PostgreSQL was started, so that another can be started in the same way."""

    executable: Path
    arguments: list[str]
    data: Path
    uid: int
    gid: int

    @classmethod
    def of(cls, pid: int) -> PostgresRecipe:
        process = psutil.Process(pid)
        return cls(
            Path(process.exe()),
            process.cmdline()[1:],
            Path(Path(f"/proc/{pid}/cwd").readlink()),
            process.uids().effective,
            process.gids().effective,
        )

    @contextmanager
    def twin(self, folder: Path) -> Iterator[tuple[int, Path]]:
        """Another PostgreSQL on `folder`, same options and configuration files: (pid, socket folder)."""
        data, sockets = folder / "pgdata", folder / "sockets"
        shutil.rmtree(folder, ignore_errors=True)
        sockets.mkdir(parents=True)
        for path in (folder, sockets):
            os.chown(path, self.uid, self.gid)
        initdb = [str(self.executable.with_name("initdb")), "-D", str(data), "-U", "plexus", "--auth=trust"]
        locale = ["--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        self._spawn([*initdb, *locale], folder).wait(60)
        for name in ("postgresql.conf", "postgresql.auto.conf"):
            shutil.copy(self.data / name, data / name)
        process = self._spawn([str(self.executable), *self._arguments(data, sockets)], folder)
        try:
            yield process.pid, sockets
        finally:
            process.send_signal(2)
            process.wait(30)

    def _spawn(self, command: list[str], folder: Path) -> subprocess.Popen[bytes]:
        """As the user that Plexus' PostgreSQL runs as: it refuses root."""
        identity = (self.uid, self.gid) if os.geteuid() == 0 else (None, None)
        with (folder.parent / "postgres.log").open("ab") as log:
            return subprocess.Popen(
                command, cwd=folder, stdout=log, stderr=log, user=identity[0], group=identity[1]
            )

    def _arguments(self, data: Path, sockets: Path) -> list[str]:
        """Ours with its folders in the place of the other's."""
        replaced, arguments = {"-D": str(data), "-k": str(sockets)}, list(self.arguments)
        for index, argument in enumerate(arguments[:-1]):
            if argument in replaced:
                arguments[index + 1] = replaced[argument]
            elif argument == "-c" and arguments[index + 1].startswith("unix_socket_directories="):
                arguments[index + 1] = f"unix_socket_directories={sockets}"
        if "-D" not in arguments:
            arguments += ["-D", str(data)]
        return [*arguments, "-c", "listen_addresses=", "-k", str(sockets)]


def settings_of(sockets: Path, database: str, user: str = "plexus") -> dict[str, str]:
    """The settings that must be equal for a fair comparison."""
    names = ["fsync", "synchronous_commit", "full_page_writes", "shared_buffers", "commit_delay", "jit"]
    with psycopg.connect(host=str(sockets), dbname=database, user=user, autocommit=True) as connection:
        return {name: str(connection.execute(f"SHOW {name}").fetchone()[0]) for name in names}  # type: ignore[index]


@contextmanager
def running(recipe: PostgresRecipe, folder: Path) -> Iterator[Peer]:
    """A fresh Synapse with rate limits and presence off and cheap password hashes, until the block ends."""
    python = install()
    with ExitStack() as stack:
        postgres, sockets = stack.enter_context(recipe.twin(folder / "postgres"))
        create_database(sockets)
        port = free_port()
        config = folder / "homeserver.yaml"
        config.write_text(yaml.safe_dump(configuration(folder, port, sockets)))
        generate = [str(python), "-m", "synapse.app.homeserver", "-c", str(config), "--generate-keys"]
        subprocess.run(generate, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        log = stack.enter_context((folder / "synapse.log").open("wb"))
        process = subprocess.Popen(generate[:-1], cwd=folder, stdout=log, stderr=log)
        stack.callback(end, process)
        base_url = f"http://127.0.0.1:{port}"
        wait_for(base_url, process, folder / "synapse.log")
        yield Peer(base_url, process.pid, postgres)


def end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def create_database(sockets: Path) -> None:
    """Wait for PostgreSQL to answer, then make a database of the collation that Synapse asks for."""
    deadline = time.monotonic() + 30
    while True:
        try:
            with psycopg.connect(
                host=str(sockets), dbname="postgres", user="plexus", autocommit=True
            ) as connection:
                options = "TEMPLATE template0 ENCODING 'UTF8' LOCALE_PROVIDER libc LOCALE 'C'"
                connection.execute(f"CREATE DATABASE synapse {options}".encode())
                return
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def configuration(folder: Path, port: int, sockets: Path) -> dict[str, object]:
    unlimited = {"per_second": 1_000_000, "burst_count": 1_000_000}
    logging = {
        "version": 1,
        "handlers": {"console": {"class": "logging.StreamHandler"}},
        "root": {"level": "WARNING", "handlers": ["console"]},
    }
    (folder / "log.yaml").write_text(yaml.safe_dump(logging))
    return {
        "server_name": "localhost",
        "report_stats": False,
        "log_config": str(folder / "log.yaml"),
        "signing_key_path": str(folder / "signing.key"),
        "media_store_path": str(folder / "media"),
        "pid_file": str(folder / "synapse.pid"),
        "trusted_key_servers": [],
        "listeners": [
            {
                "port": port,
                "type": "http",
                "bind_addresses": ["127.0.0.1"],
                "resources": [{"names": ["client"], "compress": False}],
            }
        ],
        "database": {
            "name": "psycopg2",
            "args": {
                "user": "plexus",
                "dbname": "synapse",
                "host": str(sockets),
                "cp_min": 5,
                "cp_max": 10,
            },
        },
        "presence": {"enabled": False},
        "bcrypt_rounds": 4,
        "enable_registration": True,
        "enable_registration_without_verification": True,
        "rc_message": unlimited,
        "rc_registration": unlimited,
        "rc_login": {"address": unlimited, "account": unlimited, "failed_attempts": unlimited},
        "rc_joins": {"local": unlimited, "remote": unlimited},
        "rc_joins_per_room": unlimited,
        "rc_invites": {"per_room": unlimited, "per_user": unlimited, "per_issuer": unlimited},
        "rc_room_creation": unlimited,
        "rc_admin_redaction": unlimited,
    }


def wait_for(base_url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"{base_url}/_matrix/client/versions", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise RuntimeError("Synapse does not answer:\n" + "\n".join(log.read_text().splitlines()[-30:]))
