"""The routing table of the gateway, ``deploy/gateway/routes.json``, and what a gateway's look-ups need of it.

A path with parameters is found by what stands before the first of them. Nearly always all paths with such a
beginning have one owner; the few that do not are told apart by a regular expression.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

TABLE = Path(__file__).resolve().parents[1] / "gateway" / "routes.json"
SERVICES = ("client-api", "sync", "keys", "federation", "media")


@dataclass(frozen=True, slots=True)
class Route:
    method: str
    path: str
    service: str

    @property
    def key(self) -> tuple[str, str]:
        """The same for two templates that differ in the names of their parameters only."""
        return self.method, re.sub(r"\{[^}]*\}", "{}", self.path)


@dataclass(frozen=True, slots=True)
class Table:
    """``prefixes`` and ``default``: who refuses what is in no row."""

    routes: Sequence[Route]
    prefixes: dict[str, str]
    default: str


@dataclass(frozen=True, slots=True)
class Lookups:
    """In the order in which they are tried; what is in none of them goes to the table's default.

    ``patterns``: regular expressions for whole paths; ``exact``: paths; ``beginnings``: the longest wins.
    """

    patterns: dict[str, str]
    exact: dict[str, str]
    beginnings: dict[str, str]


def read_table(path: Path = TABLE) -> Table:
    found = json.loads(path.read_text(encoding="utf-8"))
    return Table([Route(**row) for row in found["routes"]], found["prefixes"], found["default"])


def lookups(table: Table) -> Lookups:
    """How to find the owner of a path. `ValueError` if it depended on more than the path."""
    owners: dict[str, str] = {}
    for route in table.routes:
        if owners.setdefault(route.path, route.service) != route.service:
            raise ValueError(f"{route.path}: the owner depends on the method")
    exact = {path: service for path, service in owners.items() if "{" not in path}
    below: dict[str, dict[str, str]] = defaultdict(dict)
    for path, service in owners.items():
        if "{" in path:
            below[path.partition("{")[0]][path] = service
    beginnings = dict(table.prefixes)
    patterns: dict[str, str] = {}
    for beginning, paths in below.items():
        services = list(paths.values())
        usual = max(sorted(set(services)), key=services.count)
        beginnings[beginning] = usual
        patterns |= {_pattern(path): service for path, service in paths.items() if service != usual}
    return Lookups(patterns, exact, beginnings)


def owner(found: Lookups, default: str, path: str) -> str:
    """Who answers a path, as the gateway finds it."""
    for pattern, service in found.patterns.items():
        if re.search(pattern, path):
            return service
    if path in found.exact:
        return found.exact[path]
    fitting = [beginning for beginning in found.beginnings if path.startswith(beginning)]
    return found.beginnings[max(fitting, key=len)] if fitting else default


def _pattern(template: str) -> str:
    parts = re.split(r"\{[^}]*\}", template)
    return "^" + "[^/]*".join(re.escape(part) for part in parts) + "$"
