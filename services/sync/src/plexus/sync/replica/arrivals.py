"""Traced groups on their way through the replica: from arrival to the polls that they wake.

A group that is traced says so before its facts are delivered. What is noted here is found again by the facts'
positions, in the turn in which they wake polls; each of these, up to `MOST_DELIVERIES`, gets the `Cause` of
its waking. For groups that are not traced nothing is kept, and nothing looked up.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from plexus.platform.lanes import Fact, Group
from plexus.platform.telemetry import Span, SpanContext, Telemetry, group_attributes

MOST_DELIVERIES = 20
"""Spans for one group: a message to a room of thousands is not to be followed to all of them."""

_MOST_WAITING = 1_000


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a poll was woken: the span of the facts that did it, and when (nanoseconds of the epoch)."""

    span: SpanContext
    woken_ns: int


class Arrivals:
    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self.waiting: OrderedDict[tuple[str, int, int], Span] = OrderedDict()
        """By family, lane and the last position of the group."""

    def arrived(self, group: Group) -> None:
        """A group has come whose facts will be delivered."""
        key = (group.family, group.lane, group.last)
        if group.trace is None or key in self.waiting:
            return
        name, attributes = _process(group)
        span = self._telemetry.received(group.trace, name, time.time_ns(), attributes)
        if span is None:
            return
        self.waiting[key] = span
        if len(self.waiting) > _MOST_WAITING:
            self.waiting.popitem(last=False)[1].end()

    def take(self, family: str, lane: int, facts: Sequence[Fact]) -> Span | None:
        """The span of the traced group that ends among these facts; of several the last one."""
        found: Span | None = None
        for fact in facts:
            span = self.waiting.pop((family, lane, fact.position), None)
            if span is not None:
                if found is not None:
                    found.end()
                found = span
        return found

    def clear(self) -> None:
        """What waits will not be delivered as it was announced."""
        for span in self.waiting.values():
            span.end()
        self.waiting.clear()


def _process(group: Group) -> tuple[str, dict[str, str | int]]:
    attributes = group_attributes("process", group.family, group.lane, len(group.facts))
    return f"process {attributes['messaging.destination.name']}", attributes
