"""`make bench-peer HSBENCH=path`: the same neutral load on Plexus and on Synapse, one after the other.

Both have PostgreSQL of one build with the same options: fsync, synchronous_commit and full_page_writes on.
Rate limits and presence off, cheap password hashes. The CPU of a line is the server's and its PostgreSQL's.
The last column is Plexus / Synapse: below 1 is cheaper or faster, but for the rate.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil

from tests.load import synapse
from tests.support.server import PlexusServer

WORKLOADS = ["send_1room", "send_nrooms", "fanout", "idle_sync"]
OUT = Path(__file__).parent / "out"


def run_load(
    harness: Path, workloads: list[str], label: str, base_url: str, pids: str, arguments: list[str]
) -> Path:
    """Run hsbench; returns the file with its result lines."""
    results = OUT / f"{label}.jsonl"
    results.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(harness / "hsbench.py"), *workloads, "--base-url", base_url]
        command += ["--label", label, "--pids", pids, "--json", str(results)]
        command += ["--users-file", str(Path(folder) / "users.json"), "--max-seconds", "120", *arguments]
        subprocess.run(command, check=True)
    return results


def pids_of(server: PlexusServer) -> str:
    """The harness counts a process with its children: PostgreSQL is named apart unless it is one."""
    postgres = server.postgres_pid()
    assert postgres is not None
    if any(parent.pid == server.pid for parent in psutil.Process(postgres).parents()):
        return f"server={server.pid}"
    return f"server={server.pid},postgres={postgres}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hsbench", type=Path, required=True, help="folder with hsbench.py and compare.py")
    parser.add_argument("--workloads", nargs="+", default=WORKLOADS)
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
    synapse.install()
    with tempfile.TemporaryDirectory(prefix="plexus-peer-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        settings = {"PLEXUS_TELEMETRY__LOG_LEVEL": "warning"}
        with PlexusServer(folder / "data", settings) as server:
            postgres = server.postgres_pid()
            assert postgres is not None
            recipe = synapse.PostgresRecipe.of(postgres)
            print(f"PostgreSQL's options: {' '.join(recipe.arguments)}", flush=True)
            if known.only != "synapse":
                run_load(harness, known.workloads, "plexus", server.base_url, pids_of(server), passed_on)
        if known.only != "plexus":
            with synapse.running(recipe, folder / "synapse") as peer:
                sockets = folder / "synapse" / "postgres" / "sockets"
                print(f"Synapse's PostgreSQL: {synapse.settings_of(sockets, 'synapse')}", flush=True)
                pids = f"server={peer.synapse},postgres={peer.postgres}"
                run_load(harness, known.workloads, "synapse", peer.base_url, pids, passed_on)
    lines = [str(OUT / "synapse.jsonl"), str(OUT / "plexus.jsonl")]
    for files in ([lines[0]], [lines[1]], lines):
        print(flush=True)
        subprocess.run([sys.executable, str(harness / "compare.py"), *files], check=True, env=os.environ)


if __name__ == "__main__":
    main()
