"""`make bench-kernel`: what `plexus.protocol` does in a second, beside Synapse's own functions.

    python -m tests.load.kernel              about five minutes
    python -m tests.load.kernel --quick      about one

Both get the same events, made here; Synapse's functions are imported in its own environment (build/peer, made
when missing). One thread and CPU seconds, the fastest of several passes; only verification on threads goes by
the wall clock. A table on the screen and JSON in tests/load/out. docs/performance.md says how to read it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from plexus.protocol import ROOM_VERSIONS
from plexus.protocol.hashes import encode_base64

from tests.load import kernel_events, kernel_resolution
from tests.support.making_events import KEY
from tests.support.synapse import NoSynapseError, Script, install

OUT = Path(__file__).parent / "out"
PEER = Path(__file__).parent / "kernel_peer.py"
VERSIONS = ("11", "12")
"""State resolution v2 and v2.1; what is done with single events is shown for the last."""

Results = dict[str, dict[str, Any]]


@contextmanager
def peer() -> Iterator[Script | None]:
    """Synapse's functions, if it can be had."""
    try:
        python = install()
    except NoSynapseError as error:
        print(f"· without Synapse: {error}", flush=True)
        yield None
        return
    with Script(python, PEER) as script:
        yield script


def events(script: Script | None, folder: Path, count: int, seconds: float) -> Results:
    version = ROOM_VERSIONS[VERSIONS[-1]]
    room = kernel_events.corpus(version, count)
    ours = kernel_events.measure(room, seconds)
    theirs: Mapping[str, float] = {}
    if script is not None:
        file = folder / "events"
        file.write_bytes(b"\n".join(event.raw for event in room.events))
        asked = {"do": "events", "version": version.identifier, "pdus": str(file), "seconds": seconds}
        signed_by = {
            "key_id": KEY.key_id,
            "key_version": KEY.version,
            "seed": encode_base64(KEY.seed),
            "public": KEY.verify_key.to_base64(),
        }
        theirs = script.ask(asked | signed_by)
    rows: Results = {
        name: {"plexus_per_s": per_s, "synapse_per_s": theirs.get(name.partition(",")[0])}
        for name, per_s in ours.items()
    }
    both = [both_of(rates, "parse", "check") for rates in (ours, theirs)]
    return {"parse and check": {"plexus_per_s": both[0], "synapse_per_s": both[1]}, **rows}


def both_of(rates: Mapping[str, float], first: str, second: str) -> float | None:
    """The rate of doing one and then the other."""
    return 1 / (1 / rates[first] + 1 / rates[second]) if rates else None


def resolutions(script: Script | None, folder: Path, sizes: tuple[int, ...], seconds: float) -> Results:
    results: Results = {}
    for identifier in VERSIONS:
        for members in sizes:
            one = kernel_resolution.case(ROOM_VERSIONS[identifier], members)
            print(f"· {one.name}", flush=True)
            ours = kernel_resolution.measure(one, seconds)
            row: dict[str, Any] = {"plexus_ms": ours.differences, "plexus_states_ms": ours.states}
            if script is not None:
                file = folder / "room"
                file.write_bytes(b"\n".join(event.raw for event in one.room.events.values()))
                asked = {
                    "do": "resolution",
                    "version": identifier,
                    "pdus": str(file),
                    "seconds": seconds,
                    "states": [list(state.values()) for state in one.room.states],
                }
                theirs = script.ask(asked)
                if theirs["resolved"] != ours.resolved:
                    raise RuntimeError(f"{one.name}: Synapse resolves it to something else")
                row["synapse_ms"] = theirs["ms"]
            results[one.name] = row
    return results


def table(results: Mapping[str, Results]) -> str:
    lines = [f"{'events a second':44s}{'Plexus':>12s}{'Synapse':>12s}{'ratio':>8s}"]
    for name, row in results["events"].items():
        ours, theirs = row["plexus_per_s"], row["synapse_per_s"]
        peers = f"{theirs:12,.0f}{ours / theirs:8.1f}" if theirs else ""
        lines.append(f"{name:44s}{ours:12,.0f}{peers}")
    lines += [
        "",
        f"{'resolution, ms':44s}{'of conflict':>12s}{'of states':>12s}{'Synapse':>12s}{'ratio':>8s}",
    ]
    for name, row in results["resolution"].items():
        theirs = row.get("synapse_ms")
        peers = f"{theirs:12,.1f}{theirs / row['plexus_states_ms']:8.1f}" if theirs else ""
        lines.append(f"{name:44s}{row['plexus_ms']:12,.1f}{row['plexus_states_ms']:12,.1f}{peers}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes")
    quick: bool = parser.parse_args().quick
    OUT.mkdir(exist_ok=True)
    count, seconds = (300, 0.2) if quick else (3_000, 2.0)
    sizes = (1_000, 10_000) if quick else (1_000, 10_000, 50_000)
    with tempfile.TemporaryDirectory(prefix="plexus-kernel-") as name, peer() as script:
        folder = Path(name)
        print("· events, one by one", flush=True)
        results = {
            "events": events(script, folder, count, seconds),
            "resolution": resolutions(script, folder, sizes, seconds),
        }
    about = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "quick": quick,
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "load": os.getloadavg()[0],
    }
    (OUT / "kernel.json").write_text(json.dumps(about | results, indent=2) + "\n")
    print(table(results))
    print(f"written: {OUT / 'kernel.json'}")


if __name__ == "__main__":
    main()
