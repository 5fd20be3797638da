"""The figures of a cluster as tables and as a plot."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl

from tests.load import replicas_report
from tests.load.figures import COLOURS, cost, plot_stacked, table
from tests.load.systems import by_service


def tables(results: Mapping[str, Any]) -> str:
    """Of the rounds that were run."""
    parts = {
        "send_one_room": _sends,
        "fanout": _fanout,
        "followers": _followers,
        "replicas": _replicas,
        "turns": _turns,
        "hops": _hops,
    }
    made = [make(results) for name, make in parts.items() if results.get(name)]
    return "\n\n".join(made)


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
    return replicas_report.tables(results["replicas"])


def _turns(results: Mapping[str, Any]) -> str:
    return replicas_report.in_turn(results["turns"])


def _hops(results: Mapping[str, Any]) -> str:
    rows = [[name, f"{x['p50_ms']:.2f}", f"{x['p99_ms']:.2f}"] for name, x in results["hops"].items()]
    return table(["from send to sync by hop", "p50 ms", "p99 ms"], rows)


def plot(results: Mapping[str, Any], target: Path) -> None:
    """The rounds that were run; the place of another stays empty."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.patches import Patch

    figure, axes = plt.subplots(2, 5, figsize=(32, 11), layout="constrained")
    (latency, sending, delivering, following, hops), (scaling, syncing, compared, held, turns) = axes
    if "fanout" in results:
        _plot_fanout(latency, delivering, results["fanout"])
    if "send_one_room" in results:
        runs = {"one room": results["send_one_room"], "many rooms": results["send_many_rooms"]}
        plot_stacked(sending, {name: cost(run, "send") for name, run in runs.items()})
        sending.set(title="CPU milliseconds a send")
    if "followers" in results:
        found = {label: by_service(x["cpu_pct"]) for label, x in results["followers"].items()}
        plot_stacked(following, found)
        following.set(title="nobody syncs: percent of a core", xlabel="facts a second (sync: two replicas)")
    if "replicas" in results:
        replicas_report.plot(scaling, syncing, compared, held, results["replicas"])
    if "turns" in results:
        replicas_report.plot_in_turn(turns, results["turns"])
    if results.get("hops"):
        _plot_hops(hops, results["hops"])
    for unused in (place for place in figure.axes if not place.has_data()):
        unused.set_axis_off()
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
    plot_stacked(delivering, {label: cost(run, "delivery") for label, run in fanout.items()})
    delivering.set(title="CPU milliseconds a delivery, 50 members", xlabel="sends a second")


def _plot_hops(axes: Any, hops: Mapping[str, Any]) -> None:
    names = list(hops)[::-1]
    axes.barh(names, [hops[n]["p99_ms"] for n in names], color="lightsteelblue", label="p99")
    axes.barh(names, [hops[n]["p50_ms"] for n in names], color="steelblue", label="p50")
    axes.set(title="from send to sync by hop, 5 sends/s", xlabel="ms")
    axes.legend()
