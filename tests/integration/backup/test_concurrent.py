"""A backup while the server writes is of one moment."""

from __future__ import annotations

import threading
from collections import defaultdict
from pathlib import Path

import psycopg
from plexus.platform.backup import Manifest, Step, backup, restore

from tests.support.postgres import TestDatabase
from tests.support.rows import append

SERVER = "here.example.org"


def check(dsn: str, manifest: Manifest) -> None:
    """Every lane has the facts 1 to its head, without a hole, and the manifest says the same."""
    with psycopg.connect(dsn) as connection:
        heads = {
            (family, lane): head
            for family, lane, head in connection.execute("SELECT family, lane, head FROM lanes.lane")
        }
        positions = defaultdict(list)
        for family, lane, position in connection.execute(
            "SELECT family, lane, position FROM lanes.fact ORDER BY family, lane, position"
        ):
            positions[family, lane].append(position)
        facts = connection.execute("SELECT count(*) FROM lanes.fact").fetchone()
    for key, head in heads.items():
        assert positions[key] == list(range(1, head + 1)), key
    assert [heads["r", lane] for lane in range(64)] == manifest.room_heads
    assert [heads["u", lane] for lane in range(16)] == manifest.user_heads
    counts = {table.full_name: table.rows for table in manifest.tables}
    assert facts == (counts["lanes.fact"],) == (sum(heads.values()),)


def test_writes_between_the_tables(busy: TestDatabase, other: TestDatabase, copies: Path) -> None:
    """A write after every table that is copied: none of them may be half in the backup."""
    with psycopg.connect(busy.owner, autocommit=True) as writer:

        def write(step: Step) -> None:
            for lane in range(16):
                append(writer, "r", lane)
                append(writer, "u", lane)

        before = writer.execute("SELECT sum(head) FROM lanes.lane").fetchone()
        made = backup(busy.owner, copies / "copy", server_name=SERVER, report=write)
        after = writer.execute("SELECT sum(head) FROM lanes.lane").fetchone()
    assert before is not None
    assert after is not None
    assert before[0] == sum(made.room_heads) + sum(made.user_heads) < after[0]
    restore(copies / "copy", other.owner, server_name=SERVER)
    check(other.owner, made)


def test_under_writers(busy: TestDatabase, other: TestDatabase, copies: Path) -> None:
    stop = threading.Event()
    written = [0, 0, 0]

    def write(number: int) -> None:
        with psycopg.connect(busy.writer, autocommit=True) as connection:
            while not stop.is_set():
                append(connection, "r", written[number] % 4, count=written[number] % 3 + 1)
                written[number] += 1

    threads = [threading.Thread(target=write, args=(number,)) for number in range(len(written))]
    for thread in threads:
        thread.start()
    try:
        made = [backup(busy.owner, copies / f"copy{n}", server_name=SERVER) for n in range(3)]
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert sum(made[0].room_heads) < sum(made[2].room_heads), "nobody wrote meanwhile"
    for number, manifest in enumerate(made):
        restore(copies / f"copy{number}", other.owner, server_name=SERVER, replace=True)
        check(other.owner, manifest)


def test_segments_are_not_dropped_under_a_backup(
    busy: TestDatabase, other: TestDatabase, copies: Path
) -> None:
    """Maintenance that wants to drop the oldest partition of the facts waits for its next round."""
    dropped = []
    with psycopg.connect(busy.owner, autocommit=True) as maintenance:
        for lane in range(16):
            maintenance.execute("SELECT lanes.open_segment('u', %s::smallint, 3)", (lane,))

        def maintain(step: Step) -> None:
            if step.name == "lanes.cursor" and not step.done:
                dropped.append(maintenance.execute("SELECT lanes.drop_segment(1)").fetchone())
                maintenance.execute("SELECT lanes.make_segment(4)")

        made = backup(busy.owner, copies / "copy", server_name=SERVER, report=maintain)
        assert dropped == [(False,)]
        assert maintenance.execute("SELECT lanes.drop_segment(1)").fetchone() == (True,)
    assert made.segments == [1, 2, 3]
    restore(copies / "copy", other.owner, server_name=SERVER)
    check(other.owner, made)
