"""What all reports of a cluster share: costs by service, tables, stacked bars."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import matplotlib as mpl

from tests.load.systems import BELOW, STORE, by_service

SERVICES = ("client-api", "sync", "keys", "federation", "media", "worker")
COLOURS = {name: mpl.colormaps["tab20"](at) for at, name in enumerate((*SERVICES, *BELOW))}


def cost(figures: Mapping[str, float], what: str) -> dict[str, float]:
    """CPU milliseconds for each ``what``, by service or program, and three sums of them."""
    suffix = f"_ms_per_{what}"
    by_program = {name.removesuffix(suffix): x for name, x in figures.items() if name.endswith(suffix)}
    by_name = by_service(by_program)
    services = sum(x for name, x in by_name.items() if name not in BELOW)
    return {
        **by_name,
        "services": services,
        "services + PostgreSQL": services + sum(by_name.get(name, 0.0) for name in STORE),
        "everything": sum(by_name.values()),
    }


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """The first column is of text."""
    all_rows = [list(header), *map(list, rows)]
    widths = [max(len(row[at]) for row in all_rows) for at in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if at else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in all_rows
    )


def plot_stacked(axes: Any, bars: Mapping[str, Mapping[str, float]]) -> None:
    """One bar for each title, built of what its programs took."""
    bottom = [0.0] * len(bars)
    for name, colour in COLOURS.items():
        heights = [parts.get(name, 0.0) for parts in bars.values()]
        if any(heights):
            axes.bar(list(bars), heights, bottom=bottom, label=name, color=colour)
            bottom = [below + height for below, height in zip(bottom, heights, strict=True)]
