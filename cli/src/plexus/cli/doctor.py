"""`plexus doctor`: what is wrong, in plain words."""

from __future__ import annotations

import os
import shutil
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import psycopg
from plexus.cli.data_folder import kept_name, open_folder
from plexus.cli.options import DEFAULT_DATA, Data
from plexus.cli.progress import say
from plexus.cli.store import owner_dsn
from plexus.platform.embedded import EmbeddedPostgresError
from plexus.platform.migrate import pending
from plexus.platform.settings import Settings, SettingsError

Verdict = Literal["good", "note", "bad"]
MARKS: dict[Verdict, str] = {"good": "✓", "note": "!", "bad": "✗"}
LOW_DISK = 2 * 2**30


@dataclass(frozen=True)
class Finding:
    """`bad` must be mended, `note` should be known."""

    verdict: Verdict
    text: str


def doctor(data: Data = DEFAULT_DATA) -> None:
    """Check settings, database, locale, keys and disk; exit code 1 if something must be mended."""
    bad = False
    for finding in examine(data):
        say(f"{MARKS[finding.verdict]} {finding.text}")
        bad = bad or finding.verdict == "bad"
    sys.exit(1 if bad else 0)


def examine(data: Data) -> Iterator[Finding]:
    """Everything that was looked at, in the order in which one thing needs the other."""
    try:
        settings = open_folder(data)
    except SettingsError as error:
        yield from (Finding("bad", f"settings: {problem}") for problem in error.problems)
        return
    if settings.embedded and kept_name(data) is None:
        yield Finding("bad", f"there is no server in {data} yet: `plexus up --data {data}` begins one")
        return
    yield Finding("good", f"settings: this is the server {settings.server_name}")
    yield from settings_findings(settings)
    yield from key_findings(settings)
    yield from disk_findings(settings)
    try:
        with owner_dsn(settings) as dsn:
            yield from database_findings(settings, dsn)
    except (EmbeddedPostgresError, psycopg.OperationalError) as error:
        yield Finding("bad", f"database: it cannot be reached: {error}")


def settings_findings(settings: Settings) -> Iterator[Finding]:
    if settings.registration.mode == "open":
        yield Finding("note", "settings: anybody may register (registration.mode is open)")
    if not settings.rate_limits.enabled:
        yield Finding("note", "settings: rate limits are off")
    if settings.server_name == "localhost":
        yield Finding("note", "settings: the server name localhost can never talk to other servers")
    listens_beyond = any(not a.startswith("127.") and a != "::1" for a in settings.listeners.client.addresses)
    if listens_beyond and not settings.http.trusted_proxies:
        text = "without http.trusted_proxies all clients behind a proxy share its address and limits"
        yield Finding("note", f"settings: {text}")


def key_findings(settings: Settings) -> Iterator[Finding]:
    path = settings.signing_key_file
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        words = path.read_text().split()
    except OSError as error:
        yield Finding("bad", f"keys: {path} cannot be read: {error.strerror}")
        return
    if words[:1] != ["ed25519"] or len(words) < 3:
        yield Finding("bad", f"keys: {path} does not begin with `ed25519 <version> <seed>`")
    elif mode & 0o077:
        yield Finding("bad", f"keys: others may read {path} (mode {mode:o}): chmod 600 {path}")
    else:
        yield Finding("good", f"keys: {path} signs as ed25519:{words[1]}")


def disk_findings(settings: Settings) -> Iterator[Finding]:
    space = shutil.disk_usage(settings.data_dir)
    gib = space.free / 2**30
    if space.free < LOW_DISK:
        yield Finding("bad", f"disk: only {gib:.1f} GiB are free below {settings.data_dir}")
    else:
        yield Finding("good", f"disk: {gib:.0f} GiB are free below {settings.data_dir}")
    nodes = os.statvfs(settings.data_dir)
    if nodes.f_files and nodes.f_favail < 10_000:
        yield Finding("bad", f"disk: only {nodes.f_favail} more files can be made below {settings.data_dir}")


def database_findings(settings: Settings, dsn: str) -> Iterator[Finding]:
    """Version, unsafe settings, locale, migrations, server name, partitions."""
    with psycopg.connect(dsn, autocommit=True) as connection:

        def ask(query: str) -> str:
            row = connection.execute(query.encode()).fetchone()
            return "" if row is None else str(row[0])

        version = int(ask("SHOW server_version_num")) // 10_000
        verdict: Verdict = "good" if version >= 15 else "bad"
        yield Finding(
            verdict, f"database: PostgreSQL {version}" + ("" if version >= 15 else "; 15 is the least")
        )
        for name in ("fsync", "full_page_writes", "synchronous_commit"):
            value = ask(f"SHOW {name}")
            if value == "off":
                yield Finding("bad", f"database: {name} is off: a power cut loses or ruins what was answered")
            else:
                yield Finding("good", f"database: {name} is {value}")
        encoding = ask("SHOW server_encoding")
        if encoding != "UTF8":
            yield Finding("bad", f"database: its encoding is {encoding}, and must be UTF8")
        if ask("SELECT lower('ÄÖÜ')") == "äöü":
            yield Finding("good", "locale: umlauts are lower-cased")
        else:
            yield Finding("bad", "locale: 'ÄÖÜ' is not lower-cased, so searches miss words; use C.UTF-8")
        missing = pending(dsn)
        if missing:
            yield Finding("bad", f"migrations: {len(missing)} are to be applied: `plexus db migrate`")
            return
        yield Finding("good", "migrations: all are applied")
        name = ask("SELECT coalesce(server_name, '') FROM lanes.deployment")
        if name and name != settings.server_name:
            text = f"the database is of the server {name}, the settings say {settings.server_name}"
            yield Finding("bad", f"settings: {text}")
