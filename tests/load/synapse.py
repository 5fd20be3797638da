"""Synapse as a peer to measure against: an environment of its own, PostgreSQL started as for Plexus.

Installed from the package index as released, never read or copied from. All below build/peer. One process
here; ``synapse_workers`` has the form of several.
"""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.load.postgres_twin import PostgresRecipe, create_database
from tests.support.server import free_port

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = ROOT / "build" / "peer" / "env"
REQUIREMENTS = ["matrix-synapse[redis]==1.163.2", "psycopg2-binary==2.9.*", "setuptools<81"]


@dataclass(frozen=True)
class Peer:
    base_url: str
    pids: dict[str, list[int]]
    """Process ids by the name that the harness reports them under; children count with their parents."""


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


@contextmanager
def running(recipe: PostgresRecipe, folder: Path) -> Iterator[Peer]:
    """A fresh Synapse with rate limits and presence off and cheap password hashes, until the block ends."""
    python = install()
    with ExitStack() as stack:
        postgres = stack.enter_context(recipe.twin(folder / "postgres"))
        create_database(postgres.sockets, "synapse")
        port = free_port()
        config = folder / "homeserver.yaml"
        config.write_text(yaml.safe_dump(configuration(folder, port, postgres.sockets)))
        generate = [str(python), "-m", "synapse.app.homeserver", "-c", str(config), "--generate-keys"]
        subprocess.run(generate, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        log = stack.enter_context((folder / "synapse.log").open("wb"))
        process = subprocess.Popen(generate[:-1], cwd=folder, stdout=log, stderr=log)
        stack.callback(end, process)
        base_url = f"http://127.0.0.1:{port}"
        wait_for(base_url, process, folder / "synapse.log")
        yield Peer(base_url, {"server": [process.pid], "postgres": [postgres.pid]})


def end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def configuration(folder: Path, port: int, sockets: Path) -> dict[str, object]:
    unlimited = {"per_second": 1_000_000, "burst_count": 1_000_000}
    logging = {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"console": {"class": "logging.StreamHandler"}},
        "root": {"level": "WARNING", "handlers": ["console"]},
    }
    (folder / "log.yaml").write_text(yaml.safe_dump(logging))
    return {
        "server_name": "localhost",
        "report_stats": False,
        "log_config": str(folder / "log.yaml"),
        "signing_key_path": str(folder / "signing.key"),
        "macaroon_secret_key": "of this measurement only",
        "form_secret": "of this measurement only",
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
