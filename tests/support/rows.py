"""Rows by hand, for tests of what copies, moves or looks at whole databases."""

from __future__ import annotations

from typing import Any

import psycopg
from plexus.platform.backup.schema import plexus_schemas, tables
from psycopg import sql
from psycopg.types.json import Jsonb

AWKWARD = "tab\t newline\n return\r backslash \\ \\. quote ' \" umlaut ÄÖÜ kanji 漢字 emoji 🜁 \x01\x7f"

Connection = psycopg.Connection[tuple[Any, ...]]


def append(connection: Connection, family: str, lane: int, subject: str = "!a:x", count: int = 1) -> int:
    """Append facts to a lane in one commit; the first position."""
    row = connection.execute(
        'SELECT lanes.append(%s::text::"char", %s::smallint, %s::smallint[], %s::text[], %s::bigint[], '
        "%s::bigint[], %s::bytea[])",
        (family, lane, [1] * count, [subject] * count, [1] * count, [2] * count, [b"\x00\\\xff"] * count),
    ).fetchone()
    assert row is not None
    return int(row[0])


def fill(connection: Connection) -> None:
    """Something in tables of several owners, with every type that occurs."""
    for lane in range(64):
        append(connection, "r", lane, f"!{lane}:x", count=lane % 5 + 1)
    for lane in range(16):
        append(connection, "u", lane, f"@{lane}:x")
    connection.execute("SELECT lanes.make_segment(3)")
    for lane in range(64):
        connection.execute("SELECT lanes.open_segment('r', %s::smallint, 3)", (lane,))
        append(connection, "r", lane, "!later:x")
    connection.execute(
        "INSERT INTO users.account (lane, user_id, password_hash, created_ts, guest, admin) "
        "SELECT lane, '@' || lane || ':x', nullif(%s, ''), 9223372036854775807, false, true "
        "FROM generate_series(0, 15) AS lane",
        (AWKWARD,),
    )
    connection.execute("UPDATE users.account SET password_hash = NULL WHERE lane = 1")
    connection.execute("UPDATE users.account SET password_hash = '' WHERE lane = 2")
    connection.execute("UPDATE users.account SET password_hash = '\\N' WHERE lane = 3")
    connection.execute(
        "INSERT INTO users.uia_session (id, request, completed, results, expires_ts) "
        "VALUES (%s, %s, %s, %s, 5)",
        (AWKWARD, bytes(range(256)), [AWKWARD, "", "NULL", "{}"], Jsonb({"a": [AWKWARD]})),
    )
    connection.execute(
        "INSERT INTO media.item (media_id, uploader, created_ts, object, size, filename) "
        "SELECT 'm' || n, '@a:x', n, 'o' || n, n, %s FROM generate_series(1, 500) AS n",
        (AWKWARD,),
    )
    connection.execute(
        "INSERT INTO wire.server_key (server_name, key_id, public, valid_until_ts) VALUES ('x', 'y', %s, 1)",
        (b"\x00" * 32,),
    )


def contents(connection: Connection) -> dict[str, list[str]]:
    """Every row of every table as text, in an order that does not depend on where it lies on disk."""
    found = {}
    for table in tables(connection, plexus_schemas()):
        columns = sql.SQL(", ").join(map(sql.Identifier, sorted(table.columns)))
        rows = sql.SQL("SELECT t::text FROM (SELECT {} FROM {}) AS t ORDER BY 1").format(
            columns, table.identifier
        )
        found[table.full_name] = [str(text) for (text,) in connection.execute(rows)]
    return found
