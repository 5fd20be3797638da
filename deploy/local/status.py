"""`make cluster-status`: who is up and ready, since when, how far the lanes are, where the logs are."""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psycopg
from plexus.cli.progress import say

from deploy.local.asking import ask
from deploy.local.cluster import STATE_FILE
from deploy.local.program import listens
from deploy.local.state import ProgramState, State, read_state

COLUMNS = ("PROGRAM", "STATE", "SINCE", "RESTARTS", "PID", "PORT", "INTERNAL", "LANES", "LOG")

_HEADS = "SELECT family::text, count(*), sum(head) FROM lanes.lane GROUP BY family ORDER BY family"
_FAMILIES = {"r": "room", "u": "user"}
_LAG = re.compile(r"^plexus_lanes_follower_lag(?:_\w+)?(?:\{[^}]*\})? (\S+)$", re.MULTILINE)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make cluster-status", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("data-cluster"), help="the cluster's folder")
    data: Path = parser.parse_args().data
    state = read_state(data / STATE_FILE)
    if state is None:
        say(f"no cluster runs in {data}: `make cluster` starts one")
        return 1
    if not alive(state.launcher):
        say(f"the launcher (process {state.launcher}) is gone; everything ended with it")
        return 1
    sound = True
    rows = []
    for program in state.programs:
        state_of = condition(program)
        sound = sound and state_of == "ready"
        rows.append(row(program, state_of))
    say(f"{state.base_url}    server name {state.server_name}    settings {state.config}")
    say()
    for line in table((COLUMNS, *rows)):
        say(line)
    say()
    say(f"lanes: {heads(state)}")
    return 0 if sound else 1


def condition(program: ProgramState) -> str:
    """``ready``, or what is in the way."""
    if not alive(program.pid):
        return "down"
    if _frozen(program.pid):
        return "frozen"
    if program.service is None:
        return "ready" if listens(program.ports["main"]) else "not ready"
    answer = ask(program.ports["internal"], "/health/ready")
    if answer is None:
        return "not ready"
    return "ready" if answer[0] == 200 else f"not ready: {answer[1]}"


def row(program: ProgramState, state: str) -> tuple[str, ...]:
    internal = program.ports.get("internal")
    return (
        program.name,
        state,
        _duration(time.time() - program.since),
        str(program.restarts),
        str(program.pid),
        str(program.ports["main"]),
        "" if internal is None else str(internal),
        lag(program),
        program.log,
    )


def lag(program: ProgramState) -> str:
    """How many facts its followers are behind; empty if it follows nothing, or does not say."""
    answer = ask(program.ports["internal"], "/metrics") if program.service else None
    found = _LAG.findall(answer[1]) if answer else []
    return f"{max(float(value) for value in found):g} behind" if found else ""


def heads(state: State) -> str:
    """What PostgreSQL says of the lanes."""
    try:
        with psycopg.connect(state.owner_dsn, connect_timeout=2) as connection:
            rows = connection.execute(_HEADS).fetchall()
    except psycopg.Error as error:
        return f"PostgreSQL does not say: {error}"
    return ", ".join(
        f"{count} {_FAMILIES.get(family, family)} lanes with {facts} facts" for family, count, facts in rows
    )


def table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for found in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(found, widths, strict=True)).rstrip()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return _state(pid) != "Z"


def _frozen(pid: int) -> bool:
    return _state(pid) == "T"


def _state(pid: int) -> str:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    return text.rpartition(")")[2].split()[0]


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{rest:02}s"


if __name__ == "__main__":
    sys.exit(main())
