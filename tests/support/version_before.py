"""The code of the version before this one, to run beside it on the same data.

That is the last tag of the repository, or, until there is one, the commit that ``tests/version-before``
names.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path

_COMMAND = "from plexus.cli.main import app; app()"
ROOT = Path(__file__).resolve().parents[2]
NAMED = ROOT / "tests" / "version-before"


class NoHistoryError(Exception):
    """The checkout does not have the commit; the message says which."""


def revision() -> str:
    """What names the version before."""
    tag = _git("describe", "--tags", "--abbrev=0", "HEAD")
    return tag.stdout.decode().strip() if tag.returncode == 0 else NAMED.read_text(encoding="utf-8").strip()


def command(folder: Path) -> Path:
    """A `plexus` of the version before, unpacked into ``folder``; third-party packages are this version's.

    `NoHistoryError` in a checkout that has no history.
    """
    wanted = revision()
    archive = _git("archive", "--format=tar", wanted)
    if archive.returncode:
        raise NoHistoryError(f"{wanted} is not in this checkout: {archive.stderr.decode().strip()}")
    with tarfile.open(fileobj=BytesIO(archive.stdout)) as tar:
        tar.extractall(folder, filter="data")
    # Before the installed packages of this version: parts of the namespace package are looked for in this
    # order.
    sources = ":".join(str(path) for path in sorted(folder.glob("*/src")) + sorted(folder.glob("*/*/src")))
    script = folder / "plexus"
    script.write_text(
        f'#!/bin/sh\nPYTHONPATH="{sources}" exec "{sys.executable}" -c "{_COMMAND}" "$@"\n',
        encoding="utf-8",
    )
    script.chmod(0o755)
    return script


def _git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=False)
