"""Synapse, a peer that nobody here wrote: installed as released, in an environment of its own, never read or
copied from.

`install` makes the environment below build/peer when it is missing or its lock file changed. A process is a
`SynapseProcess`; `written` writes a configuration and its key; where the data goes is the caller's to say.
`Script` asks functions of Synapse's that a script calls in its environment.
"""

from __future__ import annotations

import fcntl
import json
import secrets
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml
from plexus.protocol.signatures import SigningKey
from plexus.protocol.signing_key_file import write_signing_keys

from deploy.local.program import Program

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = ROOT / "build" / "peer" / "env"
LOCK = ROOT / "requirements" / "synapse.txt"
SERVER_NAME = "localhost"


class NoSynapseError(Exception):
    """The environment cannot be made here; the message says why."""


def install() -> Path:
    """The Python of an environment with Synapse in it, made when it is missing. `NoSynapseError`."""
    python = ENVIRONMENT / "bin" / "python"
    done = ENVIRONMENT / ".done"
    wanted = LOCK.read_text()
    ENVIRONMENT.parent.mkdir(parents=True, exist_ok=True)
    with (ENVIRONMENT.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several runs may want it at once
        if done.exists() and done.read_text() == wanted:
            return python
        print("· installing Synapse into build/peer", flush=True)
        shutil.rmtree(ENVIRONMENT, ignore_errors=True)
        _run(sys.executable, "-m", "venv", "--without-pip", str(ENVIRONMENT))
        uv = str(Path(sys.executable).with_name("uv"))
        sync = [uv, "pip", "sync", "-q", "--python", str(python)]
        _run(*sync, "--require-hashes", "--only-binary", ":all:", str(LOCK))
        done.write_text(wanted)
    return python


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoSynapseError(f"Synapse cannot be installed: {done.stderr.strip()[-1_000:]}")


def listener(port: int, *resources: str, proxied: bool = False) -> dict[str, Any]:
    """An HTTP listener on the loopback: ``client``, ``federation``, ``replication``."""
    return {
        "port": port,
        "type": "http",
        "bind_addresses": ["127.0.0.1"],
        "x_forwarded": proxied,
        "resources": [{"names": list(resources), "compress": False}],
    }


def configuration(
    folder: Path, listeners: Sequence[Mapping[str, Any]], database: Mapping[str, Any]
) -> dict[str, Any]:
    """Rate limits and presence off, cheap password hashes, nobody asked for keys."""
    unlimited = {"per_second": 1_000_000, "burst_count": 1_000_000}
    return {
        "server_name": SERVER_NAME,
        "report_stats": False,
        "log_config": str(folder / "log.yaml"),
        "signing_key_path": str(folder / "signing.key"),
        "macaroon_secret_key": "of this run only",
        "form_secret": "of this run only",
        "media_store_path": str(folder / "media"),
        "pid_file": str(folder / "synapse.pid"),
        "trusted_key_servers": [],
        "listeners": list(listeners),
        "database": dict(database),
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


def written(settings: Mapping[str, Any], target: Path) -> Path:
    """``target`` holds these settings; beside it are the log's settings and a new signing key, in the file
    that our own servers have.
    """
    logging = {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"console": {"class": "logging.StreamHandler"}},
        "root": {"level": "WARNING", "handlers": ["console"]},
    }
    (target.parent / "log.yaml").write_text(yaml.safe_dump(logging))
    key = SigningKey("ed25519:a_peer", secrets.token_bytes(32))
    (target.parent / "signing.key").write_text(write_signing_keys([key]))
    target.write_text(yaml.safe_dump(dict(settings)))
    return target


class SynapseProcess(Program):
    """Main, or a worker, once it answers on its client port."""

    def __init__(
        self, python: Path, configurations: Sequence[Path], port: int, log: Path, *, app: str = "homeserver"
    ) -> None:
        super().__init__(log.stem, log)
        self._command = [str(python), "-m", f"synapse.app.{app}"]
        for configuration in configurations:
            self._command += ["-c", str(configuration)]
        self.port = port
        self.base_url = f"http://127.0.0.1:{port}"

    def command(self) -> Sequence[str]:
        return self._command

    def popen_arguments(self) -> Mapping[str, Any]:
        return {"cwd": self.log.parent}

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.base_url}/health", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False


class Script:
    """A script that runs in Synapse's environment: a JSON line in, a JSON line out."""

    def __init__(self, python: Path, script: Path) -> None:
        # -I: the script's folder is no place to import from.
        self._process = subprocess.Popen(
            [str(python), "-I", str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Its input ends, and so does it."""
        self._process.communicate(timeout=30)

    def ask(self, request: Mapping[str, Any]) -> Any:
        """The answer; `RuntimeError` with what it says if it failed."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"The script has ended ({self._process.wait(30)})")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["answer"]
