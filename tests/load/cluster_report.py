"""The figures of a cluster as tables and as a plot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

from tests.load.systems import BELOW, STORE, by_service

SERVICES = ("client-api", "sync", "keys", "federation", "media", "worker")
COLOURS = {name: mpl.colormaps["tab20"](at) for at, name in enumerate((*SERVICES, *BELOW))}


def tables(results: Mapping[str, Any]) -> str:
    """Of the rounds that were run."""
    parts = {"send_one_room": _sends, "fanout": _fanout, "followers": _followers, "replicas": _replicas}
    made = [make(results) for name, make in (parts | {"hops": _hops}).items() if results.get(name)]
    return "\n\n".join(made)


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


def _sends(results: Mapping[str, Any]) -> str:
    runs = {"one room": results["send_one_room"], "many rooms": results["send_many_rooms"]}
    return _operations("CPU ms a send", {name: (run, "send") for name, run in runs.items()})


def _fanout(results: Mapping[str, Any]) -> str:
    runs = {}
    for label, figures in results["fanout"].items():
        runs[f"{label}, a send"] = (figures, "send")
        runs[f"{label}, a delivery"] = (figures, "delivery")
    return _operations("CPU ms, 50 members", runs)


def _operations(title: str, runs: Mapping[str, tuple[Mapping[str, float], str]]) -> str:
    costs = {label: cost(figures, what) for label, (figures, what) in runs.items()}
    names = list(next(iter(costs.values())))
    rows = []
    for label, (figures, _) in runs.items():
        row = [label, *(f"{costs[label][name]:.3g}" for name in names), f"{figures.get('per_s', '')}"]
        row += [f"{figures['p50_ms']:.3g}", f"{figures['p99_ms']:.3g}"]
        rows.append([*row, f"{figures['harness_cpu_pct']:.0f}", f"{figures['other_cpu_pct']:.0f}"])
    return table([title, *names, "/s", "p50 ms", "p99 ms", "harness %", "others %"], rows)


def _followers(results: Mapping[str, Any]) -> str:
    programs = list(next(iter(results["followers"].values()))["cpu_pct"])
    rows = []
    for label, found in results["followers"].items():
        row = [label, *(f"{found['cpu_pct'][name]:.3g}" for name in programs)]
        rows.append([*row, f"{found['reached']}", f"{found['other_cpu_pct']:.0f}"])
    return table(["nobody syncs, % of a core", *programs, "reached/s", "others %"], rows)


def _replicas(results: Mapping[str, Any]) -> str:
    rows = []
    by_count: Mapping[str, Mapping[str, Any]] = results["replicas"]
    for rate, alone in by_count["1"].items():
        of_one = cost(alone, "delivery")["everything"]
        for count, by_rate in by_count.items():
            figures = by_rate[rate]
            of_sync = {name: x for name, x in figures.items() if name.startswith("sync-")}
            each = [x for name, x in of_sync.items() if name.endswith("_delivery")]
            idle = [x for name, x in figures["idle"]["cpu_pct"].items() if name.startswith("sync-")]
            everything = cost(figures, "delivery")["everything"]
            row = [f"{rate}, {count} sync", ", ".join(f"{x:.2g}" for x in idle)]
            row += [" + ".join(f"{x:.3g}" for x in each), f"{sum(each):.3g}"]
            row += [f"{everything:.3g}", f"{everything / of_one:.2f}", f"{figures['p50_ms']:.3g}"]
            rows.append([*row, f"{figures['p99_ms']:.3g}", f"{figures['other_cpu_pct']:.0f}"])
    header = [
        "CPU ms a delivery",
        "idle, % of a core",
        "each replica",
        "all sync",
        "everything",
        "of one's",
        "p50 ms",
        "p99 ms",
        "others %",
    ]
    return table(header, rows)


def _hops(results: Mapping[str, Any]) -> str:
    rows = [[name, f"{x['p50_ms']:.2f}", f"{x['p99_ms']:.2f}"] for name, x in results["hops"].items()]
    return table(["from send to sync by hop", "p50 ms", "p99 ms"], rows)


def plot(results: Mapping[str, Any], target: Path) -> None:
    """The rounds that were run; the place of another stays empty."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.patches import Patch

    figure, axes = plt.subplots(2, 3, figsize=(17, 9), layout="constrained")
    (latency, sending, delivering), (following, scaling, hops) = axes
    if "fanout" in results:
        _plot_fanout(latency, delivering, results["fanout"])
    if "send_one_room" in results:
        runs = {"one room": results["send_one_room"], "many rooms": results["send_many_rooms"]}
        _stacked(sending, {name: cost(run, "send") for name, run in runs.items()})
        sending.set(title="CPU milliseconds a send")
    if "followers" in results:
        found = {label: by_service(x["cpu_pct"]) for label, x in results["followers"].items()}
        _stacked(following, found)
        following.set(title="nobody syncs: percent of a core", xlabel="facts a second (sync: two replicas)")
    if "replicas" in results:
        _plot_replicas(scaling, results["replicas"])
    if results.get("hops"):
        _plot_hops(hops, results["hops"])
    patches = [Patch(color=colour, label=name) for name, colour in COLOURS.items()]
    figure.legend(handles=patches, loc="outside lower center", ncols=len(patches))
    figure.savefig(target, dpi=100)


def _plot_fanout(latency: Any, delivering: Any, fanout: Mapping[str, Any]) -> None:
    points = list(fanout.values())
    for percent in (50, 95, 99):
        rates = [p["rate"] for p in points]
        latency.plot(rates, [p[f"p{percent}_ms"] for p in points], marker="o", label=f"p{percent}")
    latency.set(xlabel="sends a second, 50 members", ylabel="ms", title="from send to sync", ylim=(0, None))
    latency.legend()
    _stacked(delivering, {label: cost(run, "delivery") for label, run in fanout.items()})
    delivering.set(title="CPU milliseconds a delivery, 50 members", xlabel="sends a second")


def _plot_replicas(axes: Any, replicas: Mapping[str, Any]) -> None:
    runs = {f"{n}, {rate}": replicas[n][rate] for rate in replicas["1"] for n in replicas}
    _stacked(axes, {label: cost(run, "delivery") for label, run in runs.items()})
    axes.set(title="the same loads on 1, 2, 3 sync replicas", ylabel="CPU ms a delivery")
    axes.tick_params(axis="x", labelsize="small")
    beside = axes.twinx()
    for at in range(0, len(runs), len(replicas)):
        places = range(at, at + len(replicas))
        for percent in (50, 99):
            values = [run[f"p{percent}_ms"] for run in list(runs.values())[at : at + len(replicas)]]
            beside.plot(places, values, "o--", color="black", alpha=percent / 100)
            beside.annotate(f"p{percent}", (places[-1], values[-1]), (6, 0), textcoords="offset points")
    beside.set(ylabel="ms from send to sync", ylim=(0, None))


def _plot_hops(axes: Any, hops: Mapping[str, Any]) -> None:
    names = list(hops)[::-1]
    axes.barh(names, [hops[n]["p99_ms"] for n in names], color="lightsteelblue", label="p99")
    axes.barh(names, [hops[n]["p50_ms"] for n in names], color="steelblue", label="p50")
    axes.set(title="from send to sync by hop, 5 sends/s", xlabel="ms")
    axes.legend()


def _stacked(axes: Any, bars: Mapping[str, Mapping[str, float]]) -> None:
    """One bar for each title, built of what its programs took."""
    bottom = [0.0] * len(bars)
    for name, colour in COLOURS.items():
        heights = [parts.get(name, 0.0) for parts in bars.values()]
        if any(heights):
            axes.bar(list(bars), heights, bottom=bottom, label=name, color=colour)
            bottom = [below + height for below, height in zip(bottom, heights, strict=True)]
