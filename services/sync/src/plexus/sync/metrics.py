"""What the sync service tells of itself: enough to see how full a replica is and whether its tail serves."""

from __future__ import annotations

from plexus.platform.telemetry import Telemetry
from plexus.sync.admission import Admission
from plexus.sync.replica import Replica
from plexus.sync.turns import Turns


class Metrics:
    def __init__(self, telemetry: Telemetry, replica: Replica) -> None:
        self._metrics = metrics = telemetry.metrics
        answers = metrics.counter("plexus.sync.answers", "1", "Syncs answered.")
        self.initial = answers.labels({"kind": "initial"})
        self.full_state = answers.labels({"kind": "full_state"})
        self.tail = answers.labels({"kind": "tail"})
        self.database = answers.labels({"kind": "database"})
        self.unmarked = metrics.counter(
            "plexus.sync.unmarked", "1", "Syncs that read the lane heads, for want of marks."
        ).labels()
        self.full_seconds = metrics.histogram(
            "plexus.sync.full.duration", "s", "Syncs that tell everything, with the time they queue."
        ).labels()
        self.refused = metrics.counter(
            "plexus.sync.full.refused", "1", "Initial syncs sent away: too many are waiting, or for too long."
        ).labels()
        self.ended = metrics.counter(
            "plexus.sync.polls.ended", "1", "Long polls ended by a newer one of their device or user."
        ).labels()
        self.wakes = metrics.histogram(
            "plexus.sync.wake.duration", "s", "From a fact that wakes a long poll to its answer."
        ).labels()
        metrics.gauge("plexus.sync.held", lambda: replica.held, "1", "Long polls held.")
        metrics.gauge("plexus.sync.views", lambda: len(replica.interest.views), "1", "Users kept in memory.")
        metrics.gauge("plexus.sync.tail", lambda: replica.tail_bytes, "By", "Recent facts.")
        metrics.gauge(
            "plexus.sync.memory",
            lambda: {(("kind", kind),): size for kind, size in replica.memory().items()},
            "By",
            "What is kept, by what it is for.",
        )
        metrics.gauge(
            "plexus.sync.fragments", lambda: replica.fragments.bytes, "By", "Sections of rooms kept."
        )
        metrics.gauge("plexus.sync.fragments.hits", lambda: replica.fragments.hits, "1", "Sections found.")
        metrics.gauge("plexus.sync.fragments.misses", lambda: replica.fragments.misses, "1", "Sections made.")

    def observe(self, admission: Admission, turns: Turns) -> None:
        self._metrics.gauge(
            "plexus.sync.turns.waiting", lambda: turns.waiting, "1", "Requests that wait to be looked into."
        )
        self._metrics.gauge(
            "plexus.sync.full.running", lambda: admission.running, "1", "Initial syncs in work."
        )
        self._metrics.gauge(
            "plexus.sync.full.waiting", lambda: admission.waiting, "1", "Initial syncs that wait for a turn."
        )
