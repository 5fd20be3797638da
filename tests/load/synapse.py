"""Synapse as a peer to measure against: one process over a PostgreSQL started as for Plexus.

``synapse_workers`` has the form of several.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.local.program import free_port
from tests.load.postgres_twin import PostgresRecipe, create_database
from tests.support.synapse import SynapseProcess, configuration, install, listener, written


@dataclass(frozen=True)
class Peer:
    base_url: str
    pids: dict[str, list[int]]
    """Process ids by the name that the harness reports them under; children count with their parents."""


def database(sockets: Path) -> dict[str, Any]:
    arguments = {"user": "plexus", "dbname": "synapse", "host": str(sockets), "cp_min": 5, "cp_max": 10}
    return {"name": "psycopg2", "args": arguments}


@contextmanager
def running(recipe: PostgresRecipe, folder: Path) -> Iterator[Peer]:
    """A fresh Synapse with rate limits and presence off and cheap password hashes, until the block ends."""
    python = install()
    with ExitStack() as stack:
        postgres = stack.enter_context(recipe.twin(folder / "postgres"))
        create_database(postgres.sockets, "synapse")
        port = free_port()
        settings = configuration(folder, [listener(port, "client")], database(postgres.sockets))
        config = written(settings, folder / "homeserver.yaml")
        process = SynapseProcess(python, [config], port, folder / "synapse.log")
        stack.callback(process.stop)
        process.start(120)
        yield Peer(process.base_url, {"server": [process.pid], "postgres": [postgres.pid]})
