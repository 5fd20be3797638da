"""The figures of the same loads on one, two and three sync replicas, as tables and as panels of a plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from tests.load.figures import cost, plot_stacked, table

Found = Mapping[str, Mapping[str, Any]]
"""By the number of replicas: what `replicas.loads` returned."""

FoundInTurn = Mapping[str, Mapping[str, Sequence[Mapping[str, float]]]]
"""By load and number of replicas: what `replicas.in_turn` returned of each turn."""

AIM = 1.15
"""Of the CPU of one replica."""
OPERATIONS = {"deliveries": "delivery", "syncs": "sync"}


def tables(found: Found) -> str:
    return "\n\n".join((_idle(found), *(_group(found, group) for group in OPERATIONS), _held(found)))


def each_replica(figures: Mapping[str, float], what: str) -> list[float]:
    """CPU milliseconds of each sync replica for each ``what``, in the replicas' order."""
    suffix = f"_ms_per_{what}"
    names = [name for name in figures if name.startswith("sync-") and name.endswith(suffix)]
    return [figures[name] for name in sorted(names)]


def multiples(found: Found, group: str) -> dict[str, dict[str, dict[str, float | None]]]:
    """By load and number of replicas: what all ``sync`` and ``everything`` took of what they took with one.
    None where one replica took less than could be measured.
    """
    what = OPERATIONS[group]
    compared: dict[str, dict[str, dict[str, float | None]]] = {}
    for load in found["1"][group]:
        spent = {
            count: {
                "sync": sum(each_replica(loads[group][load], what)),
                "everything": cost(loads[group][load], what)["everything"],
            }
            for count, loads in found.items()
        }
        one = spent["1"]
        compared[load] = {
            count: {name: x / one[name] if one[name] else None for name, x in by_name.items()}
            for count, by_name in spent.items()
        }
    return compared


def _group(found: Found, group: str) -> str:
    what = OPERATIONS[group]
    rows = []
    for load, by_count in multiples(found, group).items():
        for count, of_one in by_count.items():
            figures = found[count][group][load]
            each = each_replica(figures, what)
            row = [f"{load}, {count} sync", " + ".join(f"{x:.3g}" for x in each), f"{sum(each):.3g}"]
            row += [_multiple(of_one["sync"]), f"{cost(figures, what)['everything']:.3g}"]
            row += [_multiple(of_one["everything"]), f"{figures.get('per_s', '')}"]
            row += [f"{figures['p50_ms']:.3g}", f"{figures['p99_ms']:.3g}"]
            row += [f"{figures['harness_cpu_pct']:.0f}", f"{figures['other_cpu_pct']:.0f}"]
            rows.append(row)
    header = [f"CPU ms a {what}", "each replica", "all sync", "of one's", "everything", "of one's", "/s"]
    return table([*header, "p50 ms", "p99 ms", "harness %", "others %"], rows)


def in_turn(found: FoundInTurn) -> str:
    """The medians of what `replicas.in_turn` returned; multiples are of one replica in the same turn."""
    rows = []
    for load, by_count in found.items():
        spent = _spent(by_count)
        for count, turns in by_count.items():
            multiples = _of_one(spent)[count]
            sync = median(sum(each_replica(figures, "delivery")) for figures in turns)
            row = [f"{load}, {count} sync", f"{sync:.3g}", f"{median(spent[count]):.3g}"]
            row += [f"{median(multiples):.2f}", f"{min(multiples):.2f} to {max(multiples):.2f}"]
            row += [f"{median(figures[name] for figures in turns):.3g}" for name in ("p50_ms", "p99_ms")]
            rows.append([*row, f"{max(figures['other_cpu_pct'] for figures in turns):.0f}"])
    header = ["in turn, CPU ms a delivery", "all sync", "everything", "of one's", "least and most"]
    return table([*header, "p50 ms", "p99 ms", "others %, most"], rows)


def _spent(by_count: Mapping[str, Sequence[Mapping[str, float]]]) -> dict[str, list[float]]:
    """By number of replicas, of each turn: CPU milliseconds a delivery of everything."""
    return {
        count: [cost(figures, "delivery")["everything"] for figures in turns]
        for count, turns in by_count.items()
    }


def _of_one(spent: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    """The same as multiples of one replica in the same turn."""
    return {
        count: [of_all / of_one for of_all, of_one in zip(each, spent["1"], strict=True)]
        for count, each in spent.items()
    }


def plot_in_turn(axes: Any, found: FoundInTurn) -> None:
    """Of each load and number of replicas each turn as a dot, and their median as a bar."""
    names: list[str] = []
    for load, by_count in found.items():
        for count, multiples in _of_one(_spent(by_count)).items():
            axes.barh(len(names), median(multiples), color="lightsteelblue")
            axes.plot(multiples, [len(names)] * len(multiples), ".", color="black", alpha=0.6)
            names.append(f"{load}, {count} sync")
    axes.axvline(AIM, color="black", linestyle="--", linewidth=1, label="the aim")
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set(title="in turn: CPU a delivery, as a multiple of one replica's")
    axes.legend(fontsize="small")


def _multiple(of_one: float | None) -> str:
    return "" if of_one is None else f"{of_one:.2f}"


def _idle(found: Found) -> str:
    rows = []
    for count, loads in found.items():
        used = loads["idle"]["cpu_pct"]
        each = [x for name, x in used.items() if name.startswith("sync-")]
        row = [f"{count} sync", " + ".join(f"{x:.2g}" for x in each), f"{sum(used.values()):.3g}"]
        rows.append([*row, f"{loads['idle']['other_cpu_pct']:.0f}"])
    return table(["nothing to do, % of a core", "each replica", "everything", "others %"], rows)


def _held(found: Found) -> str:
    rows = []
    for count, loads in found.items():
        held = loads["held"]
        grown = [x for name, x in held.items() if name.endswith("_grew_mib")]
        idle = [x for name, x in held.items() if name.startswith("idle_sync-")]
        everything = sum(x for name, x in held.items() if name.startswith("idle_"))
        row = [f"{held['held']:,} polls, {count} sync", f"{held['kb_per_poll']}"]
        row += [f"{held['fresh_mib']:.0f}", " + ".join(f"{x:.0f}" for x in grown)]
        row += [" + ".join(f"{x:.2g}" for x in idle), f"{everything:.3g}", f"{held['other_cpu_pct']:.0f}"]
        rows.append(row)
    header = ["held", "kB a poll", "all fresh MiB", "each grew by MiB", "idle, each, % of a core"]
    return table([*header, "everything", "others %"], rows)


def plot(delivering: Any, syncing: Any, compared: Any, held: Any, found: Found) -> None:
    """Into four places."""
    for axes, group in ((delivering, "deliveries"), (syncing, "syncs")):
        what = OPERATIONS[group]
        # First syncs are another order of magnitude: of those the panel of multiples tells.
        loads = [load for load in found["1"][group] if not load.endswith((", first", ", again"))]
        runs = {f"{load}, {count}": found[count][group][load] for load in loads for count in found}
        plot_stacked(axes, {label: cost(run, what) for label, run in runs.items()})
        named = [f"{count}\n{load if at == 1 else ''}" for load in loads for at, count in enumerate(found)]
        axes.set_xticks(range(len(named)), named)
        axes.set(title=f"1, 2, 3 sync replicas: CPU ms a {what}")
    _plot_latencies(delivering.twinx(), found)
    _plot_multiples(compared, found)
    _plot_held(held, found)


def _plot_latencies(axes: Any, found: Found) -> None:
    """Over the bars of the deliveries."""
    for number, load in enumerate(found["1"]["deliveries"]):
        places = [number * len(found) + at for at in range(len(found))]
        for percent in (50, 99):
            values = [loads["deliveries"][load][f"p{percent}_ms"] for loads in found.values()]
            axes.plot(places, values, "o--", color="black", alpha=percent / 100)
            axes.annotate(f"p{percent}", (places[-1], values[-1]), (6, 0), textcoords="offset points")
    axes.set(ylabel="ms from send to sync", yscale="log")
    for axis in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        axis("{x:g}")


def _plot_multiples(axes: Any, found: Found) -> None:
    compared = {load: by for group in OPERATIONS for load, by in multiples(found, group).items()}
    width = 0.8 / len(found)
    for at, count in enumerate(found):
        lengths = [by[count]["everything"] or 0.0 for by in compared.values()]
        places = [number + (at - 1) * width for number in range(len(compared))]
        axes.barh(places, lengths, width, label=f"{count} sync")
    axes.axvline(AIM, color="black", linestyle="--", linewidth=1, label="the aim for deliveries")
    axes.set_yticks(range(len(compared)), compared)
    axes.invert_yaxis()
    axes.set(title="CPU of everything, as a multiple of what it is with one")
    axes.legend(fontsize="small")


def _plot_held(axes: Any, found: Found) -> None:
    counts = list(found)
    sizes = [found[count]["held"]["kb_per_poll"] for count in counts]
    axes.bar(counts, sizes, color="lightsteelblue")
    for at, (count, size) in enumerate(zip(counts, sizes, strict=True)):
        idle = [x for name, x in found[count]["held"].items() if name.startswith("idle_sync-")]
        told = f"{size} kB\nsync idle:\n" + " + ".join(f"{x:.2g} %" for x in idle)
        axes.annotate(told, (at, size), ha="center", va="bottom", fontsize="small")
    axes.margins(y=0.3)
    axes.set(title=f"{found['1']['held']['held']:,} held polls: kB each", xlabel="sync replicas")
