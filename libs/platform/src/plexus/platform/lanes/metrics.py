"""Followers and segments as metrics, read when somebody collects."""

from __future__ import annotations

from collections.abc import Callable

from plexus.platform.lanes.follower import Follower
from plexus.platform.lanes.segments import Segments
from plexus.platform.telemetry.metrics import Attributes, Metrics

_COUNTS = ("delivered", "read", "overtaken", "dropped", "polls", "generations", "failures", "broken")


def observe_follower(metrics: Metrics, follower: Follower) -> None:
    """``plexus.lanes.follower.broken`` must stay 0: it counts holes in the log itself."""

    def read(name: str) -> Callable[[], dict[Attributes, float]]:
        return lambda: {(("follower", follower.name),): getattr(follower.stats, name)}

    for count in _COUNTS:
        metrics.gauge(f"plexus.lanes.follower.{count}", read(count), "1", "Since the start of the follower.")
    name = (("follower", follower.name),)
    lag, age = "plexus.lanes.follower.lag", "plexus.lanes.follower.heads_age"
    metrics.gauge(lag, lambda: {name: follower.lag}, "{fact}", "Behind PostgreSQL, as of the last look.")
    metrics.gauge(
        "plexus.lanes.follower.behind",
        lambda: {name: follower.behind},
        "s",
        "All that was committed longer ago is delivered; 0 if nothing is known to be missing.",
    )
    metrics.gauge(
        "plexus.lanes.follower.waiting",
        lambda: {name: follower.waiting_bytes},
        "By",
        "Facts that have arrived and cannot be delivered yet.",
    )
    metrics.gauge(age, lambda: {name: follower.heads_age}, "s", "Since the last look at PostgreSQL's heads.")


def observe_segments(metrics: Metrics, segments: Segments) -> None:
    """Alert when ``ahead`` is below 1 or ``age`` beyond two lengths."""
    metrics.gauge("plexus.lanes.segments.ahead", lambda: segments.last.ahead, "1", "Ready and not yet open.")
    metrics.gauge("plexus.lanes.segment.age", lambda: segments.age, "s", "Since the last was opened.")
    metrics.gauge("plexus.lanes.segments.kept", lambda: segments.last.kept, "1", "Partitions there are.")
