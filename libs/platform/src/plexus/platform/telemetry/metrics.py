"""Counters, histograms and gauges whose recording costs next to nothing.

The SDK's ``Histogram.record`` takes 6.4 µs and ``Counter.add`` 5.8 (attribute sets are built and hashed, and
a view is looked up, for each call); a request would pay for three. Here the attributes are bound once, by
`Counter.labels` or `Histogram.labels`, and recording is an addition: 0.1 to 0.3 µs. The readers of
`plexus.platform.telemetry.export` hand the sums to OpenTelemetry when they collect.

Names are OpenTelemetry's where it has one (``http.server.request.duration``), else ``plexus.*``. Attributes
never hold rooms, users or destinations: their number is not bounded.

To be used in the thread of the event loop; what another thread adds at the same moment may be lost.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds for durations: sends take a millisecond, held syncs half a minute."""

SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)
"""Upper bounds for sizes of batches and queues."""

MAX_SERIES = 4_000
"""Of one metric. What comes beyond is counted together, without attributes."""

Attributes = tuple[tuple[str, str], ...]
Readings = Callable[[], float | Mapping[Attributes, float]]


class CounterCell:
    """One series of a `Counter`."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0

    def add(self, amount: float = 1) -> None:
        self.value += amount


class Exemplar(NamedTuple):
    """One measurement of a traced request, so that a bucket leads to a trace."""

    value: float
    time_ns: int
    trace_id: int
    span_id: int


class HistogramCell:
    """One series of a `Histogram`. ``exemplars`` holds the latest of each bucket that has one."""

    __slots__ = ("bounds", "counts", "exemplars", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0
        self.exemplars: dict[int, Exemplar] = {}

    def record(self, value: float) -> None:
        # Upper bounds are inclusive, as OpenTelemetry has it.
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def record_traced(self, value: float, trace_id: int, span_id: int) -> None:
        """`record`, and keep the value as the exemplar of its bucket."""
        bucket = bisect_left(self.bounds, value)
        self.counts[bucket] += 1
        self.total += value
        self.exemplars[bucket] = Exemplar(value, time.time_ns(), trace_id, span_id)


class Instrument:
    def __init__(self, name: str, unit: str, description: str) -> None:
        self.name = name
        self.unit = unit
        self.description = description


def _key(attributes: Mapping[str, object]) -> Attributes:
    return tuple(sorted((name, str(value)) for name, value in attributes.items()))


class Counter(Instrument):
    """``monotonic`` is False for what also goes down, such as requests under way."""

    def __init__(self, name: str, unit: str, description: str, *, monotonic: bool = True) -> None:
        super().__init__(name, unit, description)
        self.monotonic = monotonic
        self._cells: dict[Attributes, CounterCell] = {}

    def labels(self, attributes: Mapping[str, object] | None = None) -> CounterCell:
        """The series with these attributes. Ask once and keep it."""
        key = _key(attributes) if attributes else ()
        cell = self._cells.get(key)
        if cell is None:
            if key and len(self._cells) >= MAX_SERIES:
                return self.labels()
            cell = self._cells[key] = CounterCell()
        return cell

    def series(self) -> list[tuple[Attributes, CounterCell]]:
        return list(self._cells.items())


class Histogram(Instrument):
    def __init__(self, name: str, unit: str, description: str, bounds: Sequence[float]) -> None:
        super().__init__(name, unit, description)
        self.bounds = tuple(bounds)
        self._cells: dict[Attributes, HistogramCell] = {}

    def labels(self, attributes: Mapping[str, object] | None = None) -> HistogramCell:
        """The series with these attributes. Ask once and keep it."""
        key = _key(attributes) if attributes else ()
        cell = self._cells.get(key)
        if cell is None:
            if key and len(self._cells) >= MAX_SERIES:
                return self.labels()
            cell = self._cells[key] = HistogramCell(self.bounds)
        return cell

    def series(self) -> list[tuple[Attributes, HistogramCell]]:
        return list(self._cells.items())


class Gauge(Instrument):
    """A value that is read when somebody collects, from every source that registered under the name."""

    def __init__(self, name: str, unit: str, description: str) -> None:
        super().__init__(name, unit, description)
        self.sources: list[Readings] = []

    def readings(self) -> Iterator[tuple[Attributes, float]]:
        for source in self.sources:
            found = source()
            if isinstance(found, Mapping):
                yield from found.items()
            else:
                yield (), found


InstrumentT = TypeVar("InstrumentT", bound=Instrument)


class Metrics:
    """All instruments of a process. Asking again for a name gives the same instrument."""

    def __init__(self) -> None:
        self._instruments: dict[str, Instrument] = {}

    def counter(self, name: str, unit: str = "1", description: str = "") -> Counter:
        return self._one(Counter, name, lambda: Counter(name, unit, description))

    def up_down(self, name: str, unit: str = "1", description: str = "") -> Counter:
        return self._one(Counter, name, lambda: Counter(name, unit, description, monotonic=False))

    def histogram(
        self, name: str, unit: str = "s", description: str = "", bounds: Sequence[float] = SECONDS
    ) -> Histogram:
        return self._one(Histogram, name, lambda: Histogram(name, unit, description, bounds))

    def gauge(self, name: str, read: Readings, unit: str = "1", description: str = "") -> Gauge:
        """``read`` gives a number, or a number for each set of attributes; it must be quick and not raise."""
        gauge = self._one(Gauge, name, lambda: Gauge(name, unit, description))
        gauge.sources.append(read)
        return gauge

    def all(self) -> list[Instrument]:
        return list(self._instruments.values())

    def _one(self, kind: type[InstrumentT], name: str, make: Callable[[], InstrumentT]) -> InstrumentT:
        found = self._instruments.get(name)
        if found is None:
            made = self._instruments[name] = make()
            return made
        if not isinstance(found, kind):
            raise TypeError(f"{name} is a {type(found).__name__} already")
        return found
