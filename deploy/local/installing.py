"""Finding what a cluster needs besides Python, and installing it from Debian's packages where we may."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.local.program import ProgramError

PACKAGES = {
    "redis-server": "redis-server",
    "pgbouncer": "pgbouncer",
    "haproxy": "haproxy",
    "nginx": "nginx-light",
    "promtool": "prometheus",
    "pg_ctl": "postgresql-15",
    "java": "openjdk-17-jre-headless",
    "mvn": "maven",
}
"""The Debian package that has a program."""

POLICY = Path("/usr/sbin/policy-rc.d")
"""What Debian's packages ask before they start a service; 101 is no."""

_MORE_PLACES = ("/usr/sbin", "/usr/lib/postgresql/15/bin")


def find(program: str) -> Path | None:
    """Where the program is; None if it is not installed."""
    places = os.pathsep.join([os.environ.get("PATH", os.defpath), *_MORE_PLACES])
    found = shutil.which(program, path=places)
    return None if found is None else Path(found)


def may_install() -> bool:
    """Whether we are root on a Debian."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def need(*programs: str) -> dict[str, Path]:
    """Where these programs are, installed if they were not. `ProgramError` names what cannot be had."""
    missing = [program for program in programs if find(program) is None]
    if missing and may_install():
        packages = sorted({PACKAGES[program] for program in missing})
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        # Another who installs is waited for.
        apt = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300"]
        _run([*apt, "update"], quiet)
        with _no_service_starts():
            _run([*apt, "install", "-y", "--no-install-recommends", *packages], quiet)
    found = {program: find(program) for program in programs}
    lacking = sorted(program for program, path in found.items() if path is None)
    if lacking:
        packages = sorted({PACKAGES[program] for program in lacking})
        raise ProgramError(
            f"{', '.join(lacking)} not found. As root on Debian: apt-get install {' '.join(packages)}"
        )
    return {program: path for program, path in found.items() if path is not None}


@contextmanager
def _no_service_starts() -> Iterator[None]:
    """The packages of servers would start them at their usual ports: we want the programs alone. A policy
    that is there (containers have one) stays as it is.
    """
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\n# While `make cluster` installs programs.\nexit 101\n", encoding="utf-8")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink(missing_ok=True)


def _run(command: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ProgramError(f"{' '.join(command)} failed:\n{(done.stdout + done.stderr)[-2_000:]}")
