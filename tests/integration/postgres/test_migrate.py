"""Migrations are applied once, whole, in order, and by one at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from plexus.platform import migrate as module
from plexus.platform.migrate import migrate, pending
from psycopg.sql import SQL, Identifier

from tests.support.postgres import TestDatabase, make_database, server


@pytest.fixture
def empty() -> Iterator[str]:
    name = f"empty_{id(object())}"
    with psycopg.connect(server().dsn("plexus", "postgres"), autocommit=True) as connection:
        connection.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
        yield server().dsn("plexus", name)
        connection.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The platform's migrations are read from here."""
    (tmp_path / "migrations").mkdir()
    monkeypatch.setattr(module, "files", lambda _: tmp_path)
    return tmp_path / "migrations"


def test_every_migration_is_applied_once_in_the_order_of_the_arrows(empty: str) -> None:
    wanted = pending(empty)
    assert migrate(empty) == wanted
    owners = list(dict.fromkeys(name.split("/")[0] for name in wanted))
    assert owners == [owner for owner in module.OWNERS if owner in owners]
    assert owners[:3] == ["platform", "rooms", "users"]
    for owner in owners:
        names = [name for name in wanted if name.startswith(f"{owner}/")]
        assert names == sorted(names)
    assert migrate(empty) == []
    assert pending(empty) == []


def test_two_runs_at_once_apply_each_migration_once(empty: str) -> None:
    applied: list[list[str]] = []
    runs = [threading.Thread(target=lambda: applied.append(migrate(empty, ["platform"]))) for _ in range(3)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert sorted(map(len, applied))[:2] == [0, 0]
    assert len(applied[2]) + len(applied[1]) + len(applied[0]) == len(max(applied, key=len)) > 0


def test_a_migration_that_fails_leaves_nothing_and_can_be_repeated(empty: str, folder: Path) -> None:
    (folder / "0001-good.sql").write_text("CREATE SCHEMA good")
    second = folder / "0002-bad.sql"
    second.write_text("CREATE TABLE good.half (id int); SELECT 1/0;")
    with pytest.raises(psycopg.errors.DivisionByZero):
        migrate(empty, ["platform"])
    assert pending(empty, ["platform"]) == ["platform/0002-bad"]
    second.write_text("CREATE TABLE good.half (id int);")
    assert migrate(empty, ["platform"]) == ["platform/0002-bad"]


def test_a_function_body_with_semicolons_and_percents_is_sent_as_it_stands(empty: str, folder: Path) -> None:
    (folder / "0001-f.sql").write_text(
        "CREATE FUNCTION f() RETURNS text LANGUAGE plpgsql AS $$ -- a ; and a %s\n"
        "BEGIN RETURN format('%s;%s', 'BEGIN', 'END'); END $$; SELECT f();"
    )
    migrate(empty, ["platform"])
    with psycopg.connect(empty) as connection:
        assert connection.execute("SELECT f()").fetchone() == ("BEGIN;END",)


def test_what_the_owner_makes_later_the_roles_may_use() -> None:
    database: TestDatabase = make_database(("platform",))
    with psycopg.connect(database.owner, autocommit=True) as owner:
        owner.execute("CREATE SCHEMA later CREATE TABLE thing (id bigserial, what text)")
    with psycopg.connect(database.writer, autocommit=True) as writer:
        writer.execute("INSERT INTO later.thing (what) VALUES ('x')")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            writer.execute("CREATE TABLE later.other (id int)")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            writer.execute("DROP TABLE later.thing")
    with psycopg.connect(database.reader, autocommit=True) as reader:
        assert reader.execute("SELECT what FROM later.thing").fetchall() == [("x",)]
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            reader.execute("INSERT INTO later.thing (what) VALUES ('y')")
        reader.execute("SET default_transaction_read_only = off")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            reader.execute("INSERT INTO later.thing (what) VALUES ('y')")


def test_an_owner_who_may_not_make_the_roles_is_told_to_have_them_made(empty: str) -> None:
    """The roles of this server are there already, so one that is not is asked for."""
    with psycopg.connect(server().dsn("plexus", "postgres"), autocommit=True) as connection:
        connection.execute("CREATE ROLE humble_owner LOGIN")
        database = psycopg.conninfo.conninfo_to_dict(empty)["dbname"]
        connection.execute(SQL("ALTER DATABASE {} OWNER TO humble_owner").format(Identifier(str(database))))
    humble = psycopg.conninfo.make_conninfo(empty, user="humble_owner")
    before = dict(module.ROLE_SETTINGS)
    module.ROLE_SETTINGS["plexus_nobody_made"] = {}
    try:
        with pytest.raises(module.RolesMissingError, match="plexus_nobody_made"):
            migrate(humble)
    finally:
        module.ROLE_SETTINGS.clear()
        module.ROLE_SETTINGS.update(before)
