"""`make bench-peer HSBENCH=path`: the same neutral load on Plexus and on Synapse, one after the other.

    python -m tests.load.peer --hsbench PATH              `plexus up` beside Synapse in one process
    python -m tests.load.peer --hsbench PATH --cluster    our cluster beside Synapse with workers

Both have PostgreSQL of one build with the same options: fsync, synchronous_commit and full_page_writes on.
Rate limits and presence off, cheap password hashes. The CPU of a line is the server's and its PostgreSQL's,
and of a cluster that of everything it stands on. Other flags (``--quick``) are the harness'.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.load import ratios, synapse, synapse_workers
from tests.load.postgres_twin import PostgresRecipe, settings_of
from tests.load.systems import BELOW, running_cluster
from tests.support.server import PlexusServer
from tests.support.synapse import install

WORKLOADS = ["send_1room", "send_nrooms", "fanout", "idle_sync", "initial_sync"]
WORKLOADS += ["create_room", "join_storm", "messages", "state_heavy"]
OUT = Path(__file__).parent / "out"
QUIET = {"PLEXUS_TELEMETRY__LOG_LEVEL": "warning", "PLEXUS_PRESENCE__ENABLED": "false"}


@dataclass(frozen=True)
class Ours:
    """A Plexus to load."""

    base_url: str
    pids: Mapping[str, Sequence[int]]
    postgres: int


@contextmanager
def embedded(folder: Path) -> Iterator[Ours]:
    with PlexusServer(folder / "data", QUIET) as server:
        postgres = server.postgres_pid()
        assert postgres is not None
        pids = {"server": [server.pid], "postgres": [postgres]}
        if any(parent.pid == server.pid for parent in psutil.Process(postgres).parents()):
            del pids["postgres"]  # a process counts with its children
        yield Ours(server.base_url, pids, postgres)


@contextmanager
def clustered(folder: Path) -> Iterator[Ours]:
    with running_cluster(folder / "cluster", settings=QUIET) as system:
        pids: dict[str, list[int]] = {"services": []}
        for program in system.cluster.programs:
            pids.setdefault(program.name if program.name in BELOW else "services", []).append(program.pid)
        yield Ours(system.base_url, pids, system.cluster.postgres.pid)


def run_load(
    harness: Path,
    workloads: list[str],
    label: str,
    base_url: str,
    pids: Mapping[str, Sequence[int]],
    arguments: list[str],
) -> None:
    """Run hsbench; its result lines go to out/<label>.jsonl."""
    results_of(label).unlink(missing_ok=True)
    named = ",".join(f"{name}={'+'.join(map(str, group))}" for name, group in pids.items())
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(harness / "hsbench.py"), *workloads, "--base-url", base_url]
        command += ["--label", label, "--pids", named, "--json", str(results_of(label))]
        command += ["--users-file", str(Path(folder) / "users.json"), "--max-seconds", "120", *arguments]
        subprocess.run(command, check=True)


def results_of(label: str) -> Path:
    return OUT / f"{label}.jsonl"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hsbench", type=Path, required=True, help="folder with hsbench.py and compare.py")
    parser.add_argument("--workloads", nargs="+", default=WORKLOADS)
    parser.add_argument("--cluster", action="store_true", help="our cluster and Synapse with workers")
    parser.add_argument(
        "--only", choices=("plexus", "synapse"), help="measure one, compare with what is in out/"
    )
    known, passed_on = parser.parse_known_args()
    harness: Path = known.hsbench.resolve()
    if not (harness / "hsbench.py").exists():
        parser.error(f"there is no hsbench.py in {harness}")

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    OUT.mkdir(exist_ok=True)
    install()
    ours, peer = (clustered, synapse_workers) if known.cluster else (embedded, synapse)
    labels = ("plexus-cluster", "synapse-workers") if known.cluster else ("plexus", "synapse")
    with tempfile.TemporaryDirectory(prefix="plexus-peer-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with ours(folder) as plexus:  # also to see how its PostgreSQL runs
            recipe = PostgresRecipe.of(plexus.postgres)
            print(f"{recipe.version}: {' '.join(recipe.options)}", flush=True)
            if known.only != "synapse":
                run_load(harness, known.workloads, labels[0], plexus.base_url, plexus.pids, passed_on)
        if known.only != "plexus":
            with peer.running(recipe, folder / "synapse") as other:
                sockets = folder / "synapse" / "postgres" / "sockets"
                print(f"Synapse's PostgreSQL: {settings_of(sockets, 'synapse')}", flush=True)
                run_load(harness, known.workloads, labels[1], other.base_url, other.pids, passed_on)
    lines = [str(results_of(label)) for label in reversed(labels)]
    for files in ([lines[0]], [lines[1]], lines):
        print(flush=True)
        subprocess.run([sys.executable, str(harness / "compare.py"), *files], check=True, env=os.environ)
    if known.cluster:
        print()
        print(ratios.table(results_of(labels[1]), results_of(labels[0])))


if __name__ == "__main__":
    main()
