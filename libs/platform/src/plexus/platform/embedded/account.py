"""As whom the server runs, and what that account can reach. PostgreSQL refuses to run as root."""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# initdb looks the user up, so a bare number will not do. We create none: what the system has is enough.
_CANDIDATES = ("nobody", "daemon", "bin")


@dataclass(frozen=True, slots=True)
class Account:
    uid: int
    gid: int

    def popen_arguments(self) -> dict[str, Any]:
        return {"user": self.uid, "group": self.gid, "extra_groups": []}


def choose_account(data: Path) -> Account | None:
    """None: as ourselves. As root: the owner of ``data``, if it exists and is not root's; else an account of
    the system that owns nothing.
    """
    if os.geteuid() != 0:
        return None
    if data.exists() and (owner := data.stat()).st_uid != 0:
        return Account(owner.st_uid, owner.st_gid)
    for entry in _accounts():
        if entry.pw_uid != 0:
            return Account(entry.pw_uid, entry.pw_gid)
    raise LookupError("PostgreSQL cannot run as root, and this system has no other user")


def _accounts() -> Iterator[pwd.struct_passwd]:
    for name in _CANDIDATES:
        try:
            yield pwd.getpwnam(name)
        except KeyError:
            continue
    yield from pwd.getpwall()


def can_reach(account: Account | None, path: Path) -> bool:
    """Whether every folder above ``path``, and ``path`` itself, can be entered."""
    if account is None:
        return os.access(path, os.X_OK)
    resolved = path.resolve()
    return all(_can_enter(account, folder) for folder in (resolved, *resolved.parents))


def _can_enter(account: Account, folder: Path) -> bool:
    found = folder.stat()
    if found.st_uid == account.uid:
        return bool(found.st_mode & stat.S_IXUSR)
    if found.st_gid == account.gid:
        return bool(found.st_mode & stat.S_IXGRP)
    return bool(found.st_mode & stat.S_IXOTH)


def give(account: Account | None, path: Path) -> None:
    """Let the account own ``path`` and all below it."""
    if account is None:
        return
    os.chown(path, account.uid, account.gid, follow_symlinks=False)
    for folder, folders, files in os.walk(path):
        for name in (*folders, *files):
            os.chown(os.path.join(folder, name), account.uid, account.gid, follow_symlinks=False)
