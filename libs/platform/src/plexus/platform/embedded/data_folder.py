"""The data folder: made once, checked at each start, freed of what a killed predecessor left."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plexus.platform.embedded.account import Account, can_reach, give

HERE = "/proc/self/cwd"


class EmbeddedPostgresError(RuntimeError):
    """The embedded server cannot start; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class PidFile:
    """What ``postmaster.pid`` says: the server's process, where it listens, and its state ("ready", ...)."""

    pid: int
    port: int
    socket_folder: str
    status: str

    @classmethod
    def read(cls, data: Path) -> PidFile | None:
        try:
            lines = (data / "postmaster.pid").read_text().splitlines()
            return cls(int(lines[0]), int(lines[3]), lines[4], lines[7].strip() if len(lines) > 7 else "")
        except (FileNotFoundError, IndexError, ValueError):
            return None  # not there, or being written


def create(
    data: Path, binaries: Path, major: int, account: Account | None, superuser: str, *, flush: bool = True
) -> None:
    """Make the data folder, whole or not at all. ``flush``: wait until it is on the disk."""
    aside = data.with_name(data.name + ".new")
    if aside.exists():
        shutil.rmtree(aside)
    aside.mkdir(mode=0o700)
    give(account, aside)
    if major >= 17:
        locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
    else:
        locale = ["--locale=C.UTF-8"]
    place = placed(aside, account)
    command = [str(binaries / "initdb"), "-D", place.name, "-U", superuser, "--auth=trust", "--encoding=UTF8"]
    if not flush:
        locale.append("--no-sync")
    arguments = {"capture_output": True, "text": True, "env": environment(), **place.popen_arguments}
    made = subprocess.run(command + locale, check=False, **arguments)  # noqa: S603
    if made.returncode != 0:
        raise EmbeddedPostgresError(f"initdb failed in {data}: {made.stderr.strip()}")
    aside.rename(data)


def check(data: Path, major: int, account: Account | None) -> None:
    """Refuse a folder of another major version; take over one that was copied."""
    version_file = data / "PG_VERSION"
    if not version_file.exists():
        raise EmbeddedPostgresError(f"{data} is not a data folder of PostgreSQL: it has no PG_VERSION")
    found = version_file.read_text().strip()
    if found != str(major):
        raise EmbeddedPostgresError(
            f"{data} was made by PostgreSQL {found}, and this Plexus brings {major}. A data folder cannot be "
            "used by another major version: back up with the Plexus that made it (`plexus db backup`) and "
            "restore here."
        )
    if account is not None and {data.stat().st_uid, version_file.stat().st_uid} != {account.uid}:
        give(account, data)
    data.chmod(0o700)


def clear(data: Path, *, patience: float = 30.0) -> None:
    """Stop a server that a killed predecessor left in this folder, and remove a pid file that means nothing
    here.

    Call it only while holding the folder's lock. A pid file that came with a copy, or from before a reboot,
    may name any process: only one that works in this very folder counts.
    """
    deadline = time.monotonic() + patience
    asked = False
    while processes := list(_processes_in(data)):
        found = PidFile.read(data)
        if found is not None and found.pid in processes and not asked:
            os.kill(found.pid, signal.SIGINT)
            asked = True
        if time.monotonic() > deadline:
            raise EmbeddedPostgresError(
                f"a PostgreSQL server (process {processes[0]}) in {data} does not stop"
            )
        time.sleep(0.05)
    if Path("/proc/self").exists():
        (data / "postmaster.pid").unlink(missing_ok=True)


def is_served(data: Path) -> PidFile | None:
    """The pid file, if a server works in this folder now."""
    found = PidFile.read(data)
    return found if found is not None and found.pid in _processes_in(data) else None


def _processes_in(data: Path) -> Iterator[int]:
    """Processes named postgres whose working folder is ``data`` (the server and all its children)."""
    folder = data.stat()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            where = (entry / "cwd").stat()
            if (where.st_dev, where.st_ino) == (folder.st_dev, folder.st_ino):
                state = (entry / "stat").read_text()
                if "(postgres)" in state and ") Z " not in state:
                    yield int(entry.name)
        except (FileNotFoundError, PermissionError, ProcessLookupError):
            continue


@dataclass(frozen=True, slots=True)
class Placed:
    """How a child process names a folder, and the arguments of `Popen` that make the name true."""

    name: str
    popen_arguments: dict[str, Any]


def placed(folder: Path, account: Account | None) -> Placed:
    """Below a closed folder the account cannot follow the path, but can stand in the folder if put there."""
    arguments: dict[str, Any] = {"cwd": folder}
    if account is not None:
        arguments |= account.popen_arguments()
        if not can_reach(account, folder):
            return Placed(HERE, arguments)
    return Placed(str(folder.resolve()), arguments)


def environment() -> dict[str, str]:
    """What the server and initdb see: nothing of ours that could change what they do."""
    return {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
