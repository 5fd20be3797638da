"""`make cluster-status`: who is up and ready, since when, how far the lanes are, where the logs are.

LAG is in facts, as the process says it of its slowest follower; GATEWAY is how HAProxy sees a replica:
``UP``, ``NOLB`` (no new request for it), ``DOWN``. The exit code is 1 unless all is ready.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import psycopg
from plexus.cli.progress import say

from deploy.local.asking import ask
from deploy.local.cluster import STATE_FILE
from deploy.local.haproxy import servers
from deploy.local.program import listens
from deploy.local.state import ProgramState, State, read_state

COLUMNS = ("PROGRAM", "STATE", "GATEWAY", "LAG", "SINCE", "UP FOR", "RESTARTS", "PID", "PORT", "INTERNAL")
_RIGHT = frozenset({"LAG", "UP FOR", "RESTARTS", "PID", "PORT", "INTERNAL"})

_HEADS = "SELECT family::text, count(*), sum(head) FROM lanes.lane GROUP BY family ORDER BY family"
_FAMILIES = {"r": "room", "u": "user"}
_LAG = re.compile(r"^plexus_lanes_follower_lag(?:_\w+)?(?:\{[^}]*\})? (\S+)$", re.MULTILINE)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make cluster-status", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("data-cluster"), help="the cluster's folder")
    data: Path = parser.parse_args().data
    state = read_state(data / STATE_FILE)
    if state is None:
        say(f"no cluster runs in {data}: `make cluster` starts one")
        return 1
    if not alive(state.launcher):
        say(f"the launcher (process {state.launcher}) is gone; everything ended with it")
        return 1
    seen = gateway_sees(state)
    found = [(program, condition(program)) for program in state.programs]
    say(f"{state.base_url}    server name {state.server_name}    {summary([what for _, (what, _) in found])}")
    say()
    for line in table((COLUMNS, *(row(program, what, seen) for program, (what, _) in found))):
        say(line)
    say()
    for program, (_, why) in found:
        if why:
            say(f"{program.name}: {why}")
    say(f"lanes     {heads(state)}")
    say(f"settings  {state.config}")
    say(f"logs      {(data / 'logs').absolute()}/PROGRAM.log")
    return 0 if all(what == "ready" for _, (what, _) in found) else 1


def summary(states: Sequence[str]) -> str:
    """``14 of 14 ready``, and how many are what else."""
    others = Counter(state for state in states if state != "ready")
    ready = f"{states.count('ready')} of {len(states)} ready"
    return ", ".join([ready, *(f"{count} {state}" for state, count in others.items())])


def condition(program: ProgramState) -> tuple[str, str]:
    """``ready``, or what is in the way: ``down``, ``frozen``, ``not ready``; and the process's own words."""
    if not alive(program.pid):
        return "down", ""
    if _frozen(program.pid):
        return "frozen", ""
    if program.service is None:
        return ("ready" if listens(program.ports["main"]) else "not ready"), ""
    answer = ask(program.ports["internal"], "/health/ready")
    if answer is None:
        return "not ready", "does not answer on its internal port"
    return ("ready", "") if answer[0] == 200 else ("not ready", answer[1])


def gateway_sees(state: State) -> Mapping[str, str]:
    """How it sees each replica; empty if it does not answer."""
    gateway = state.named("gateway")
    return (gateway and servers(gateway.ports["internal"])) or {}


def row(program: ProgramState, what: str, seen: Mapping[str, str]) -> tuple[str, ...]:
    internal = program.ports.get("internal")
    up = what != "down"
    return (
        program.name,
        what,
        seen.get(program.name, ""),
        lag(program) if what != "frozen" else "",
        _time(program.since) if up else "",
        _duration(time.time() - program.since) if up else "",
        str(program.restarts),
        str(program.pid) if up else "",
        str(program.ports["main"]),
        "" if internal is None else str(internal),
    )


def lag(program: ProgramState) -> str:
    """How many facts its followers are behind; empty if it follows nothing, or does not say."""
    answer = ask(program.ports["internal"], "/metrics") if program.service else None
    found = _LAG.findall(answer[1]) if answer else []
    return f"{max(float(value) for value in found):.0f}" if found else ""


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
    """The first row has the headings."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for found in rows:
        cells = [
            cell.rjust(width) if heading in _RIGHT else cell.ljust(width)
            for heading, cell, width in zip(rows[0], found, widths, strict=True)
        ]
        yield "  ".join(cells).rstrip()


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


def _time(moment: float) -> str:
    """Local time; the day alone of what began before today."""
    when, now = time.localtime(moment), time.localtime()
    return time.strftime("%H:%M:%S" if when[:3] == now[:3] else "%Y-%m-%d", when)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 48:
        return f"{hours // 24}d{hours % 24:02}h"
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{rest:02}s"


if __name__ == "__main__":
    sys.exit(main())
