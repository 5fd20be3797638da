"""What a Synapse has stored: read from its SQLite database once it has stopped."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

State = Mapping[tuple[str, str], str]
"""(type, state key) to event id."""


@dataclass(frozen=True)
class Stored:
    """One event: its PDU as JSON, as other servers would get it, and the state after it."""

    event_id: str
    pdu: bytes
    state_after: State
    rejected: bool


@dataclass(frozen=True)
class Room:
    """A room's events in the order in which they were stored, and its current state."""

    events: Sequence[Stored]
    current_state: State


def read_room(database: Path, room_id: str) -> Room:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        groups = _state_groups(connection, room_id)
        rows = connection.execute(
            "SELECT event_id, json, state_group, rejection_reason FROM events"
            " JOIN event_json USING (event_id, room_id) LEFT JOIN event_to_state_groups USING (event_id)"
            " WHERE room_id = ? ORDER BY stream_ordering",
            (room_id,),
        ).fetchall()
        current = connection.execute(
            "SELECT type, state_key, event_id FROM current_state_events WHERE room_id = ?", (room_id,)
        ).fetchall()
    return Room(
        [
            Stored(event_id, text.encode(), groups[group], reason is not None)
            for event_id, text, group, reason in rows
        ],
        {(kind, state_key): event_id for kind, state_key, event_id in current},
    )


def _state_groups(connection: sqlite3.Connection, room_id: str) -> Mapping[int, State]:
    """A group is stored as what it changes of another one, if it is based on one."""
    own: dict[int, dict[tuple[str, str], str]] = {
        group: {}
        for (group,) in connection.execute("SELECT id FROM state_groups WHERE room_id = ?", (room_id,))
    }
    rows = connection.execute(
        "SELECT state_group, type, state_key, event_id FROM state_groups_state WHERE room_id = ?", (room_id,)
    )
    for group, kind, state_key, event_id in rows:
        own[group][kind, state_key] = event_id
    based_on = dict(connection.execute("SELECT state_group, prev_state_group FROM state_group_edges"))
    whole: dict[int, State] = {}
    for group in sorted(own):  # a group is newer than what it is based on
        whole[group] = {**whole.get(based_on.get(group, -1), {}), **own[group]}
    return whole
