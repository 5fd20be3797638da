"""The log of changes: whether its book-keeping agrees with itself and with PostgreSQL."""

from __future__ import annotations

from plexus.platform.doctor.database import Store
from plexus.platform.doctor.findings import Finding, failure, ok, warning

_DAMAGED = "restore a backup: this cannot come from Plexus itself"

_PARTITIONS = """
SELECT substring(c.relname::text FROM '^fact_(\\d+)$')::integer
  FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
 WHERE i.inhparent = 'lanes.fact'::regclass
"""

_GENERATION = """
SELECT g.id, g.timeline = lanes.timeline(), g.system_id = (SELECT system_identifier FROM pg_control_system())
  FROM lanes.generation AS g ORDER BY g.number DESC LIMIT 1
"""


async def deployment(store: Store) -> list[Finding]:
    rows = await store.fetch("SELECT room_lanes, user_lanes, server_name FROM lanes.deployment")
    if not rows:
        return [failure("lanes", "the row that says how many lanes there are is gone", _DAMAGED)]
    rooms, users, name = rows[0]
    found = []
    counts = dict(await store.fetch("SELECT family::text, count(*) FROM lanes.lane GROUP BY 1"))
    there = (counts.get("r", 0), counts.get("u", 0))
    if there == (rooms, users):
        found.append(ok("lanes", f"{rooms} room lanes and {users} user lanes are there"))
    else:
        says = f"{there[0]} room lanes and {there[1]} user lanes are there instead of {rooms} and {users}"
        found.append(failure("lanes", says, _DAMAGED))
    if name is not None and name != store.settings.server_name:
        found.append(
            failure(
                "name",
                f"the database belongs to the server {name}, and the settings say "
                f"{store.settings.server_name}",
                f'set server_name to "{name}", or take another database: the name is part of all users, '
                "rooms and events",
            )
        )
    return found


async def segments(store: Store) -> list[Finding]:
    """The facts' partitions: those that lanes write into, and those made ahead."""
    there = {number for (number,) in await store.fetch(_PARTITIONS)}
    used = {number for (number,) in await store.fetch("SELECT DISTINCT segment FROM lanes.lane")}
    missing = sorted(used - there)
    if missing:
        number = missing[0]
        return [
            failure(
                "lanes",
                f"the partition {number} of the facts is gone: every write to its lanes fails",
                f"DELETE FROM lanes.segment WHERE number = {number}; "  # noqa: S608 - to be read, not run
                f"SELECT lanes.make_segment({number})",
            )
        ]
    ahead = len([number for number in there if number > max(used, default=0)])
    if ahead < 1:
        return [
            warning(
                "lanes",
                "no partition of the facts is made ahead, so old facts are kept for ever",
                "let Plexus run for some minutes: it makes them; if it does run, its log says why it cannot",
            )
        ]
    return [ok("lanes", f"{ahead} partitions of the facts are made ahead")]


async def generation(store: Store) -> list[Finding]:
    if await store.value("SELECT pg_is_in_recovery()"):
        return []  # a standby has its own finding, and cannot tell its timeline
    rows = await store.fetch(_GENERATION)
    if not rows:
        return [failure("lanes", "the log has no generation", _DAMAGED)]
    newest, same_timeline, same_system = rows[0]
    held = {number for (number,) in await store.fetch("SELECT DISTINCT generation FROM lanes.lane")}
    if held - {newest}:
        return [
            failure("lanes", f"some lanes are not in the newest generation of the log ({newest})", _DAMAGED)
        ]
    if not (same_timeline and same_system):
        what = "failed over or was recovered" if same_system else "was copied into another PostgreSQL"
        return [
            warning(
                "lanes",
                f"the database {what} since the last write: what was lost then, clients will be taken back "
                "before",
                "nothing, if you know of it: the next start of Plexus begins a new generation of the log",
            )
        ]
    return [ok("lanes", f"the log is in generation {newest}")]
