"""From send to sync by hop, read from the spans that the services export.

A message's spans are a chain over two processes, each the parent of the next: the PUT, its group commit and
the publishing (client-api), the arrival and the delivery to one of the polls that it wakes (sync). A hop is
the time between two edges of these spans; the clocks are one machine's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.load.workloads import Figures, percentile

_PUT = "PUT /_matrix/client/v3/rooms/"
_NAMES = {"write group": "group", "rooms.write": "call", "send rooms": "send", "process rooms": "process"}


@dataclass(frozen=True)
class Edge:
    span: str
    end: bool = False

    def of(self, chain: Mapping[str, Span]) -> int:
        span = chain[self.span]
        return span.end_time_unix_nano if self.end else span.start_time_unix_nano


HOPS: dict[str, tuple[Edge, Edge]] = {
    "authenticate, build, authorise, sign": (Edge("put"), Edge("group")),
    "write: row locks, rows, commit": (Edge("group"), Edge("call", end=True)),
    "publish": (Edge("call", end=True), Edge("send", end=True)),
    "to the sync replica": (Edge("send", end=True), Edge("process")),
    "into the tail, wake the polls": (Edge("process"), Edge("deliver")),
    "build the answer": (Edge("deliver"), Edge("deliver", end=True)),
    "all, inside the services": (Edge("put"), Edge("deliver", end=True)),
    "the PUT itself": (Edge("put"), Edge("put", end=True)),
}
"""In order; the last but one is the sum of those before, the last runs beside them."""


def chains(spans: Iterable[Span]) -> list[dict[str, Span]]:
    """One for each delivery whose spans are all here, by the short names that `HOPS` uses."""
    by_id = {span.span_id: span for span in spans}
    calls = {span.parent_span_id: span for span in by_id.values() if span.name == "rooms.write"}
    found = []
    for span in by_id.values():
        if span.name != "deliver":
            continue
        chain = {"deliver": span}
        above = by_id.get(span.parent_span_id)
        while above is not None:
            chain["put" if above.name.startswith(_PUT) else _NAMES.get(above.name, above.name)] = above
            above = by_id.get(above.parent_span_id)
        if "group" in chain and chain["group"].span_id in calls:
            chain["call"] = calls[chain["group"].span_id]
        if {"put", "group", "call", "send", "process"} <= chain.keys():
            found.append(chain)
    return found


def by_hop(spans: Iterable[Span]) -> dict[str, Figures]:
    """p50 and p99 of each hop in milliseconds, over the deliveries; nothing if none was traced."""
    times: dict[str, list[float]] = defaultdict(list)
    for chain in chains(spans):
        for name, (start, end) in HOPS.items():
            times[name].append((end.of(chain) - start.of(chain)) / 1e6)
    return {
        name: {"p50_ms": round(percentile(found, 50), 2), "p99_ms": round(percentile(found, 99), 2)}
        for name, found in times.items()
    }
