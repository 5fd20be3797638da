"""Two files of the harness' result lines side by side: our cluster's CPU and p99 as a part of Synapse's.

Ours counts twice: services and PostgreSQL (with its pooler), and everything (Kafka, Redis, the gateway too);
Synapse's is always everything.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from pathlib import Path

from tests.load.systems import STORE

CPU = "_cpu_ms_per_op"
NARROW = ("services", *STORE)

Metrics = Mapping[str, float]


def medians(path: Path) -> dict[tuple[str, str], float]:
    """By (workload, metric), over the runs in the file."""
    found: dict[tuple[str, str], list[float]] = {}
    for line in path.read_text().splitlines():
        result = json.loads(line)
        metrics = result["metrics"] | {"other_cpu_pct": result["machine"]["other_cpu_pct"]}
        for name, value in metrics.items():
            found.setdefault((result["workload"], name), []).append(value)
    return {key: statistics.median(values) for key, values in found.items()}


def table(theirs: Path, ours: Path) -> str:
    base, own = medians(theirs), medians(ours)
    header = [
        "workload",
        "operation",
        "Synapse CPU ms",
        "services + PostgreSQL",
        "ratio",
        "everything",
        "ratio",
    ]
    header += ["Synapse p99 ms", "Plexus p99 ms", "ratio", "others % (Synapse, Plexus)"]
    lines = [row(header), row(["---", "---", *["---:"] * (len(header) - 2)])]
    for workload, metric in base:
        operation, _, rest = metric.partition(f"{CPU}.")
        if rest != "total" or (workload, metric) not in own:
            continue
        theirs_ms, all_ms = base[workload, metric], own[workload, metric]
        narrow_ms = sum(own.get((workload, f"{operation}{CPU}.{name}"), 0.0) for name in NARROW)
        p99 = (workload, f"{operation}_p99_ms")
        cells = [workload, operation, f"{theirs_ms:.3g}", f"{narrow_ms:.3g}", part(narrow_ms, theirs_ms)]
        cells += [f"{all_ms:.3g}", part(all_ms, theirs_ms)]
        if p99 in base and p99 in own:
            cells += [f"{base[p99]:.3g}", f"{own[p99]:.3g}", part(own[p99], base[p99])]
        else:
            cells += ["", "", ""]
        others = [values[workload, "other_cpu_pct"] for values in (base, own)]
        lines.append(row([*cells, ", ".join(f"{value:.0f}" for value in others)]))
    return "\n".join(lines)


def part(ours: float, theirs: float) -> str:
    """``1/20`` reads easier than 0.05."""
    return f"1/{theirs / ours:.1f}" if ours else ""


def row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
