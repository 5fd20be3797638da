"""``cluster.json``: what the launcher runs, for who looks from outside."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ProgramState:
    """``ports`` by use: ``main``, and of services ``internal`` and ``calls``. ``since`` in seconds since
    1970. ``service`` is None for what is not ours.
    """

    name: str
    service: str | None
    pid: int
    ports: dict[str, int]
    log: str
    since: float
    restarts: int


@dataclass(frozen=True, slots=True)
class State:
    """``launcher`` is the process that started all of it."""

    launcher: int
    base_url: str
    server_name: str
    config: str
    owner_dsn: str
    programs: list[ProgramState]

    def named(self, name: str) -> ProgramState | None:
        return next((program for program in self.programs if program.name == name), None)


def write_state(path: Path, state: State) -> None:
    """Replace the file at once: nobody reads half of it."""
    aside = path.with_suffix(".new")
    aside.write_text(json.dumps(asdict(state), indent=2) + "\n", encoding="utf-8")
    aside.replace(path)


def read_state(path: Path) -> State | None:
    """None if no cluster runs there."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return State(**{**found, "programs": [ProgramState(**program) for program in found["programs"]]})
