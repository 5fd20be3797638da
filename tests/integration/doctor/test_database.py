"""What is wrong with a PostgreSQL, made wrong in a real one."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest
from plexus.platform.clock import ManualClock, SystemClock
from plexus.platform.doctor import examine
from plexus.platform.doctor.database import judge_version
from plexus.platform.embedded import EmbeddedPostgres
from plexus.platform.embedded.account import choose_account
from plexus.platform.embedded.binaries import reachable_binaries, wheel_binaries
from plexus.platform.embedded.data_folder import placed
from plexus.platform.lanes import LaneLog, read_lane_map
from plexus.platform.migrate import OWNERS, WRITER, migrate
from plexus.platform.postgres import Database

from tests.integration.doctor.conftest import Patient, make_database, told
from tests.support import postgres as shared


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that the account of an embedded server can enter."""
    folder = Path(tempfile.mkdtemp(prefix="plexus-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def wait_until(dsn: str, query: LiteralString, patience: float = 30) -> None:
    """Until the server is there and says yes."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        try:
            with psycopg.connect(dsn) as connection:
                if connection.execute(query).fetchone() == (True,):
                    return
        except psycopg.OperationalError:
            pass  # not yet
        time.sleep(0.05)
    raise AssertionError(f"not within {patience} s: {query}")


async def test_nobody_there(patient: Patient) -> None:
    for dsn in ("host=127.0.0.1 port=1 dbname=x", patient.owner.replace(patient.name, "nowhere")):
        [(level, says)] = told(await examine(patient.settings(dsn=dsn)), "database")
        assert level == "failure"
        assert says.startswith("PostgreSQL cannot be reached: ")
    [(level, says)] = told(await examine(patient.settings(dsn="this is no address")), "database")
    assert level == "failure"


async def test_unsafe_settings(patient: Patient) -> None:
    unsafe = shared.make_database()
    found = told(await examine(patient.settings(dsn=unsafe.writer)), "database")
    assert [(level, says.partition(":")[0]) for level, says in found] == [
        ("failure", "fsync is off"),
        ("failure", "full_page_writes is off"),
    ]
    shared.drop_database(unsafe)


@pytest.mark.parametrize("whose", ["the role's", "everybody's"])
async def test_commits_that_do_not_wait(wounded: Patient, whose: str) -> None:
    role = f"ROLE {WRITER} IN DATABASE" if whose == "the role's" else "DATABASE"
    wounded.execute(f"ALTER {role} {wounded.name} SET synchronous_commit = off")
    [(level, says)] = told(await examine(wounded.settings()), "database")
    assert (level, says.partition(":")[0]) == ("failure", "synchronous_commit is off")


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("TEMPLATE template0 LOCALE_PROVIDER libc LOCALE 'C'", "small Ä"),
        ("TEMPLATE template0 LOCALE_PROVIDER libc LOCALE 'C' ENCODING 'LATIN1'", "LATIN1"),
        ("TEMPLATE template0 LOCALE_PROVIDER libc LOCALE 'C' ENCODING 'SQL_ASCII'", "SQL_ASCII"),
    ],
)
async def test_locale_and_encoding(patient: Patient, how: LiteralString, words: str) -> None:
    dsn = patient.server.dsn(WRITER, make_database(patient.server, how))
    [(level, says)] = told(await examine(patient.settings(dsn=dsn)), "locale")
    assert level == "failure"
    assert words in says


def test_versions() -> None:
    assert [judge_version(major).level for major in (9, 14, 15, 16, 17, 18, 19)] == [
        *("failure", "failure"),
        *("ok", "ok", "ok", "ok"),
        "warning",
    ]


async def test_roles_without_timeouts(wounded: Patient) -> None:
    wounded.execute(f"ALTER ROLE plexus_writer IN DATABASE {wounded.name} SET lock_timeout = 0")
    wounded.execute(f"ALTER ROLE plexus_reader IN DATABASE {wounded.name} SET statement_timeout = '0'")
    assert told(await examine(wounded.settings()), "roles") == [
        (
            "failure",
            "plexus_writer has no lock_timeout: a process that freezes can stop others for good",
        ),
        (
            "warning",
            "plexus_reader has no statement_timeout: a process that freezes can stop others for good",
        ),
    ]


async def test_a_role_of_ones_own_needs_timeouts_too(wounded: Patient) -> None:
    wounded.execute(f"CREATE ROLE own_writer LOGIN IN ROLE {WRITER}")
    try:
        findings = await examine(wounded.settings(dsn=wounded.server.dsn("own_writer", wounded.name)))
    finally:
        wounded.execute("DROP ROLE own_writer")
    [(level, says)] = told(findings, "roles")
    assert level == "failure"
    assert says.startswith("own_writer has no statement_timeout, lock_timeout, ")


async def test_services_that_are_the_owner(patient: Patient) -> None:
    findings = await examine(patient.settings(dsn=patient.owner))
    assert [(level, says.partition(":")[0]) for level, says in told(findings, "roles")] == [
        (
            "failure",
            "plexus has no statement_timeout, lock_timeout, idle_in_transaction_session_timeout, "
            "tcp_user_timeout",
        ),
        ("warning", "database.dsn connects as plexus, who owns Plexus' tables"),
    ]
    # Not to bound the owner, whose migrations may take long.
    assert all(f"connect as {WRITER}" in str(f.do) for f in findings if f.topic == "roles" and f.do)


async def test_a_role_that_is_missing(patient: Patient) -> None:
    patient.execute("ALTER ROLE plexus_reader RENAME TO plexus_somebody")
    try:
        found = told(await examine(patient.settings()), "roles")
    finally:
        patient.execute("ALTER ROLE plexus_somebody RENAME TO plexus_reader")
    assert found == [("failure", "the role plexus_reader is missing")]


@pytest.mark.parametrize(
    ("seconds", "level"), [(-600, "failure"), (-20, "warning"), (20, "warning"), (600, "failure")]
)
async def test_clocks_apart(patient: Patient, seconds: int, level: str) -> None:
    clock = ManualClock(SystemClock().now_ms() + seconds * 1000)
    [(found, says)] = told(await examine(patient.settings(), clock=clock), "clock")
    assert found == level
    apart = int(says.split(" are ")[1].split()[0])
    assert abs(apart - abs(seconds)) <= 10


async def test_migrations_to_be_applied(patient: Patient) -> None:
    owners = tuple(owner for owner in OWNERS if owner != "media")
    dsn = patient.server.dsn(WRITER, make_database(patient.server, "", owners=owners))
    [(level, says)] = told(await examine(patient.settings(dsn=dsn)), "migrations")
    assert level == "failure"
    assert "beginning with media/" in says


async def test_a_database_without_tables(patient: Patient) -> None:
    dsn = patient.server.dsn(WRITER, make_database(patient.server, ""))
    findings = await examine(patient.settings(dsn=dsn))
    [(level, says)] = told(findings, "migrations")
    assert level == "failure"
    assert "beginning with platform/0001-lanes" in says
    assert not any(finding.topic == "lanes" for finding in findings)


async def test_newer_code_was_here(wounded: Patient) -> None:
    wounded.execute(
        "INSERT INTO _yoyo_migration (migration_hash, migration_id, applied_at_utc) "
        "VALUES ('h', 'rooms/9999-to-come', now())"
    )
    [(level, says)] = told(await examine(wounded.settings()), "migrations")
    assert level == "failure"
    assert "rooms/9999-to-come" in says


async def test_the_address_for_reads(patient: Patient) -> None:
    other = shared.make_database()
    for dsn, words in ((other.reader, "another PostgreSQL"), ("host=127.0.0.1 port=1", "leads nowhere")):
        [(level, says)] = told(await examine(patient.settings(database={"reader_dsn": dsn})), "database")
        assert level == "failure"
        assert words in says
    shared.drop_database(other)


async def test_addresses_that_lead_to_another_database(patient: Patient) -> None:
    elsewhere = {"reader_dsn": patient.server.dsn(database="postgres")}
    elsewhere["owner_dsn"] = elsewhere["reader_dsn"]
    found = told(await examine(patient.settings(database=elsewhere)), "database")
    assert [(level, says.partition(" leads to another database ")[0]) for level, says in found] == [
        ("failure", "database.reader_dsn"),
        ("failure", "database.owner_dsn"),
    ]


async def test_a_role_that_may_not_read(wounded: Patient) -> None:
    wounded.execute(f"REVOKE SELECT ON lanes.deployment FROM {WRITER}")
    [(level, says)] = told(await examine(wounded.settings()), "database")
    assert level == "failure"
    assert "permission denied" in says


async def test_a_new_timeline(patient: Patient, open_folder: Path) -> None:
    """A recovery from the archive gives PostgreSQL a new timeline; the first writer begins a generation."""
    with EmbeddedPostgres(open_folder / "postgres") as server:
        migrate(server.dsn())
    (open_folder / "postgres" / "data" / "recovery.signal").touch()
    with EmbeddedPostgres(open_folder / "postgres", settings={"restore_command": "false"}) as server:
        settings = patient.settings(dsn=server.dsn(WRITER))
        wait_until(server.dsn(), "SELECT NOT pg_is_in_recovery()")
        assert told(await examine(settings), "lanes") == [
            (
                "warning",
                "the database failed over or was recovered since the last write: what was lost then, clients "
                "will be taken back before",
            )
        ]
        async with Database(server.dsn(WRITER)) as db:
            await LaneLog(db, await read_lane_map(db)).start()
        assert told(await examine(settings), "lanes") == []


async def test_a_standby(patient: Patient, open_folder: Path) -> None:
    with EmbeddedPostgres(open_folder / "postgres") as server:
        migrate(server.dsn())
    data, sockets = open_folder / "postgres" / "data", open_folder / "postgres" / "run"
    (data / "standby.signal").touch()
    account = choose_account(data)
    place = placed(data, account)
    postgres = reachable_binaries(wheel_binaries(18), account) / "postgres"
    options = ["-k", str(sockets), "-c", "listen_addresses="]
    process = subprocess.Popen(
        [postgres, "-D", place.name, *options], stderr=subprocess.DEVNULL, **place.popen_arguments
    )
    try:
        dsn = f"host={sockets} dbname=plexus user={WRITER}"
        wait_until(dsn, "SELECT pg_is_in_recovery()")
        findings = await examine(patient.settings(dsn=dsn))
    finally:
        process.terminate()
        process.wait(30)
    assert told(findings, "database") == [("failure", "this is a standby: nothing can be written")]
    assert told(findings, "lanes") == []


async def test_an_embedded_one_that_does_not_start(patient: Patient, open_folder: Path) -> None:
    with EmbeddedPostgres(open_folder / "postgres") as server:
        migrate(server.dsn())
    (open_folder / "postgres" / "data" / "PG_VERSION").write_text("13\n")
    settings = patient.settings(data_dir=open_folder)
    settings = settings.model_copy(update={"database": settings.database.model_copy(update={"dsn": None})})
    [(level, says)] = told(await examine(settings), "database")
    assert level == "failure"
    assert "was made by PostgreSQL 13" in says
