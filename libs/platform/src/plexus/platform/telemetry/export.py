"""From our instruments to OpenTelemetry's readers: Prometheus when scraped, OTLP by the clock.

Both readers are the SDK's; each is given our series next to what the SDK itself collected.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import Exemplar
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    HistogramDataPoint,
    Metric,
    MetricExporter,
    MetricsData,
    NumberDataPoint,
    PeriodicExportingMetricReader,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.metrics.export import (
    Gauge as GaugeData,
)
from opentelemetry.sdk.metrics.export import (
    Histogram as HistogramData,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from plexus.platform.telemetry.metrics import Attributes, Counter, Gauge, Histogram, Instrument, Metrics
from prometheus_client import CollectorRegistry

log = logging.getLogger(__name__)

_SCOPE = InstrumentationScope("plexus")
_CUMULATIVE = AggregationTemporality.CUMULATIVE


class Snapshot:
    """Turns the instruments into OpenTelemetry's data, cumulative since this was made."""

    def __init__(self, metrics: Metrics, resource: Resource) -> None:
        self._metrics = metrics
        self._resource = resource
        self._start = time.time_ns()
        self._broken: set[str] = set()

    def take(self, others: Sequence[Metric]) -> ResourceMetrics:
        """Ours, and these."""
        now = time.time_ns()
        ours = [self._sound(instrument, now) for instrument in self._metrics.all()]
        metrics = [*others, *(metric for metric in ours if metric)]
        scope = ScopeMetrics(scope=_SCOPE, metrics=metrics, schema_url="")
        return ResourceMetrics(resource=self._resource, scope_metrics=[scope], schema_url="")

    def _sound(self, instrument: Instrument, now: int) -> Metric | None:
        try:
            return self._metric(instrument, now)
        except Exception:
            # The SDK's exporting thread ends with the first exception, and with it all metrics.
            if instrument.name not in self._broken:
                self._broken.add(instrument.name)
                log.exception("the metric %s cannot be read", instrument.name)
            return None

    def _metric(self, instrument: Instrument, now: int) -> Metric | None:
        data: Sum | HistogramData | GaugeData
        match instrument:
            case Counter():
                points = [self._number(key, cell.value, now) for key, cell in instrument.series()]
                data = Sum(points, _CUMULATIVE, instrument.monotonic)
            case Gauge():
                points = [self._number(key, value, now) for key, value in instrument.readings()]
                data = GaugeData(points)
            case Histogram():
                data = HistogramData(self._histograms(instrument, now), _CUMULATIVE)
            case _:
                raise TypeError(f"{type(instrument).__name__} is no instrument")
        if not data.data_points:
            return None
        return Metric(instrument.name, instrument.description, instrument.unit, data)

    def _number(self, key: Attributes, value: float, now: int) -> NumberDataPoint:
        return NumberDataPoint(dict(key), self._start, now, value)

    def _histograms(self, instrument: Histogram, now: int) -> Sequence[HistogramDataPoint]:
        points = []
        for key, cell in instrument.series():
            counts = list(cell.counts)
            if any(counts):
                points.append(
                    HistogramDataPoint(
                        attributes=dict(key),
                        start_time_unix_nano=self._start,
                        time_unix_nano=now,
                        count=sum(counts),
                        sum=cell.total,
                        bucket_counts=counts,
                        explicit_bounds=instrument.bounds,
                        # Not known: only sums are kept.
                        min=float("-inf"),
                        max=float("inf"),
                        exemplars=[
                            Exemplar({}, kept.value, kept.time_ns, kept.span_id, kept.trace_id)
                            for kept in list(cell.exemplars.values())
                        ],
                    )
                )
        return points


def _with_ours(data: MetricsData, snapshot: Snapshot) -> MetricsData:
    # In one: of two resources or scopes that are the same the OTLP encoder sends the last only.
    theirs = [
        metric for found in data.resource_metrics for scope in found.scope_metrics for metric in scope.metrics
    ]
    return MetricsData(resource_metrics=[snapshot.take(theirs)])


class PrometheusReader(PrometheusMetricReader):
    """Feeds a Prometheus registry when it is scraped."""

    def __init__(self, snapshot: Snapshot, registry: CollectorRegistry) -> None:
        self._snapshot = snapshot
        super().__init__(registry=registry, scope_info_enabled=False)

    def _receive_metrics(
        self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any
    ) -> None:
        super()._receive_metrics(_with_ours(metrics_data, self._snapshot), timeout_millis, **kwargs)


class PushReader(PeriodicExportingMetricReader):
    """Exports by the clock, in a thread of its own."""

    def __init__(self, snapshot: Snapshot, exporter: MetricExporter, interval_seconds: float) -> None:
        self._snapshot = snapshot
        super().__init__(exporter, export_interval_millis=interval_seconds * 1000)

    def _receive_metrics(
        self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any
    ) -> None:
        super()._receive_metrics(_with_ours(metrics_data, self._snapshot), timeout_millis, **kwargs)
