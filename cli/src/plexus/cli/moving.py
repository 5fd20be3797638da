"""`plexus db move`: an embedded server becomes a cluster."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from pathlib import Path

from plexus.cli.data_folder import open_folder
from plexus.cli.progress import say
from plexus.cli.store import beside, must_exist, owner_dsn
from plexus.platform.backup import (
    BackupError,
    FileInTheWayError,
    OtherServerError,
    Report,
    check_target,
    copy_objects,
    move,
)
from plexus.platform.compose import role_settings
from plexus.platform.objects import open_objects
from plexus.platform.settings import Settings, SettingsError, load_settings


def move_to_cluster(data: Path, config: Path, *, replace: bool, report: Report) -> None:
    """Copy media, then the signing keys, then the tables; say what is left to do."""
    # The environment is the cluster's: a DSN in it must not become the folder's.
    source = open_folder(data, env={})
    target = load_settings(config)
    _agree(data, source, target)
    _check_keys(source, target)
    with owner_dsn(target) as to:
        check_target(to, replace=replace)
        say("· starting the folder's PostgreSQL for the time of the move")
        with owner_dsn(source) as here:
            # The rows come last, in one transaction: with them it is complete.
            copied, there = asyncio.run(_move_media(source, target, report))
            keys = _move_keys(source, target)
            moved = move(
                here,
                to,
                server_name=target.server_name,
                replace=replace,
                report=report,
                role_settings=role_settings(target.database),
            )
    say(f"moved: {moved.rows} rows of {moved.tables} tables, {there} media objects ({copied} of them now)")
    for line in keys:
        say(line)
    say(f"{target.server_name} may be started on the cluster. Never start {data} again: it is the old state")


def _agree(data: Path, source: Settings, target: Settings) -> None:
    if not source.embedded:
        raise SettingsError([f"database.dsn: the server in {data} has no PostgreSQL of its own to be moved"])
    must_exist(source)
    if target.embedded:
        raise SettingsError(["database.dsn: the target's settings name no PostgreSQL"])
    if source.server_name != target.server_name:
        raise OtherServerError(
            f"the folder {data} is the server {source.server_name}, and the target is to be "
            f"{target.server_name}. The name is part of all users, rooms and events; set the target's "
            "server_name to it."
        )
    if beside(source) is not None:
        sys.exit(f"the server in {data} is running: stop it first")


async def _move_media(source: Settings, target: Settings, report: Report) -> tuple[int, int]:
    stores = [(each.media.store_url, each.data_dir.absolute()) for each in (source, target)]
    if stores[0] == stores[1] or (stores[0][0] is not None and stores[0][0] == stores[1][0]):
        return 0, 0  # one store, which both use
    try:
        return await copy_objects(
            open_objects(source.media, source.data_dir), open_objects(target.media, target.data_dir), report
        )
    except OSError as error:
        raise BackupError(f"the media could not be copied: {error}") from error


def _keys(source: Settings, target: Settings) -> list[tuple[Path, Path]]:
    return [
        (source.signing_key_file, target.signing_key_file),
        (source.old_keys_file, target.old_keys_file),
    ]


def _check_keys(source: Settings, target: Settings) -> None:
    for here, there in _keys(source, target):
        try:
            if here.exists() and there.exists() and here.read_bytes() != there.read_bytes():
                raise FileInTheWayError(
                    f"{there} is there already and differs from {here}: move it away. A server that signs "
                    "with another key needs the old one in signing.old_keys_file."
                )
        except OSError as error:
            raise BackupError(f"{error.filename} cannot be read: {error.strerror}") from error


def _move_keys(source: Settings, target: Settings) -> list[str]:
    """Copy them where the target's settings say; what to tell of it."""
    told = []
    for here, there in _keys(source, target):
        if not here.exists():
            continue
        try:
            if not there.exists():
                _copy_secret(here, there)
        except OSError as error:
            told.append(f"copy {here} to {there} yourself, readable by Plexus alone ({error.strerror})")
        else:
            told.append(f"{there} is {here}: every replica needs it at that place")
    return told


def _copy_secret(here: Path, there: Path) -> None:
    there.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
    aside = there.with_name(f".{there.name}.{secrets.token_hex(4)}")
    try:
        with open(aside, "xb", opener=lambda path, flags: os.open(path, flags, 0o600)) as out:
            out.write(here.read_bytes())
            out.flush()
            os.fsync(out.fileno())
        aside.replace(there)
    finally:
        aside.unlink(missing_ok=True)
