"""Files and folders of programs that refuse to run as root."""

from __future__ import annotations

from pathlib import Path

from plexus.platform.embedded.account import Account, give


def folder_of(account: Account | None, path: Path) -> Path:
    """The folder, made if missing, the account's own."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    give(account, path)
    return path


def write(account: Account | None, path: Path, text: str) -> None:
    """Replace the file's text; the account can read it, others cannot."""
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    give(account, path)
