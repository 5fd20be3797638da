"""`make interop-rust`: a story of two people by matrix-rust-sdk, which Element X is made of.

The program beside this file is built first (minutes, once; kept in ``build/rust``). It runs against a Plexus
of its own, one process or with ``--topology cluster`` a cluster, which is restarted when the program asks for
it. What it came to, asked and was refused is printed. Needs Rust and crates.io. It is no part of `make test`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.local.program import ProgramError
from tests.interop.rust.watching import Watch, watching
from tests.support.cluster import ClusterServer
from tests.support.server import PlexusServer

HERE = Path(__file__).parent
BUILD = HERE.parents[2] / "build" / "rust"
SETTINGS = {"PLEXUS_PUSH__THREAD_SUBSCRIPTIONS": "true"}
PATIENCE = 600

Plexus = PlexusServer | ClusterServer


def built() -> Path:
    """The program; cargo itself finds out whether anything is to be done."""
    print("· building the program (with the SDK: ten minutes on two cores, once)", flush=True)
    command = ["nice", "-n", "15", "cargo", "build", "--locked", "--jobs", "2"]
    environment = {**os.environ, "CARGO_TARGET_DIR": str(BUILD)}
    try:
        done = subprocess.run(command, cwd=HERE, env=environment, check=False)
    except FileNotFoundError:
        raise ProgramError("cargo is not installed: https://rustup.rs") from None
    if done.returncode:
        raise ProgramError("the program could not be built")
    return BUILD / "debug" / "plexus-interop-rust"


@contextmanager
def serving(topology: str, folder: Path) -> Iterator[Plexus]:
    if topology == "cluster":
        with ClusterServer(folder / "data", SETTINGS) as cluster, cluster.receiver:
            yield cluster
    else:
        with PlexusServer(folder / "data", SETTINGS) as server:
            yield server


def restart(plexus: Plexus) -> None:
    """One process is down for a while; of a cluster each process that a client talks to, one by one."""
    if isinstance(plexus, PlexusServer):
        plexus.stop()
        plexus.start()
        return
    for service in ("sync", "client-api"):
        for process in plexus.of(service):
            plexus.restart(process.name)


async def told(program: Path, plexus: Plexus, watch: Watch, folder: Path) -> int:
    """Run the program to its end; its exit code."""
    home = folder / "clients"
    for name in ("alice", "bob"):
        (home / name).mkdir(parents=True)
    with (folder / "sdk.log").open("wb") as log:
        running = await asyncio.create_subprocess_exec(
            *(str(program), watch.url, str(home)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
        )
    assert running.stdout is not None
    assert running.stdin is not None
    async for line in running.stdout:
        said = line.decode().rstrip()
        if said == "ask restart":
            await asyncio.to_thread(restart, plexus)
            running.stdin.write(b"restarted\n")
            await running.stdin.drain()
        elif said.startswith("step "):
            name, _, milliseconds = said.removeprefix("step ").rpartition(" ")
            print(f"  {name:32s} {int(milliseconds) / 1000:6.2f} s", flush=True)
    return await running.wait()


def report(watch: Watch, log: Path) -> list[str]:
    """Print what was asked; what of it speaks against us."""
    print("· asked and answered")
    faults = list(watch.violations)
    for (name, status, errcode), count in sorted(watch.asked.items()):
        print(f"  {count:6d}  {status}  {name}  {errcode}")
        if status >= 500 or (errcode == "M_UNRECOGNIZED"):
            faults.append(f"{name} was answered {status} {errcode}")
    print(f"· the SDK's own log: {log}")
    return faults


async def run(topology: str, folder: Path) -> int:
    program = built()
    print(f"· Plexus, {topology}", flush=True)
    with serving(topology, folder) as plexus:
        async with watching(plexus.base_url) as watch:
            code = await asyncio.wait_for(told(program, plexus, watch, folder), PATIENCE)
            faults = report(watch, folder / "sdk.log")
    for fault in faults:
        print(f"! {fault}")
    if code:
        print((folder / "sdk.log").read_text()[-3_000:])
    return 1 if code or faults else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--topology", choices=["embedded", "cluster"], default="embedded")
    topology = parser.parse_args().topology
    folder = Path(tempfile.mkdtemp(prefix="plexus-rust-"))
    folder.chmod(0o711)
    try:
        return asyncio.run(run(topology, folder))
    except ProgramError as error:
        print(error)
        return 1


if __name__ == "__main__":
    sys.exit(main())
