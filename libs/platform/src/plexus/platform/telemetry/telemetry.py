"""The telemetry of one process."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanContext, SpanKind, TraceFlags
from plexus.platform.settings import TelemetrySettings
from plexus.platform.telemetry.export import PrometheusReader, PushReader, Snapshot
from plexus.platform.telemetry.metrics import Metrics
from plexus.platform.telemetry.request import REQUEST, RequestContext, parse_traceparent
from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector, generate_latest

_NO_SPAN: AbstractContextManager[None] = nullcontext()


class Telemetry:
    """Made once a process; ``service`` becomes ``service.name``. Nothing is registered globally."""

    def __init__(self, settings: TelemetrySettings, service: str, *, version: str = "0.1.0") -> None:
        self.metrics = Metrics()
        self.tracing = settings.otlp_endpoint is not None and settings.trace_ratio > 0
        self._ratio = settings.trace_ratio
        resource = Resource.create({"service.name": f"plexus-{service}", "service.version": version})
        snapshot = Snapshot(self.metrics, resource)
        self._registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        readers: list[PrometheusReader | PushReader] = [PrometheusReader(snapshot, self._registry)]
        self._tracers: TracerProvider | None = None
        self._tracer: trace.Tracer | None = None
        if settings.otlp_endpoint is not None:
            from plexus.platform.telemetry.otlp import exporters

            spans, points = exporters(settings)
            readers.append(PushReader(snapshot, points, settings.metrics_interval_seconds))
            if self.tracing:
                # Which requests are traced is decided here and not by a sampler: an unsampled span costs 3
                # µs.
                self._tracers = TracerProvider(resource=resource, sampler=ALWAYS_ON)
                self._tracers.add_span_processor(BatchSpanProcessor(spans))
                self._tracer = self._tracers.get_tracer("plexus")
        self._meters = MeterProvider(readers, resource=resource)
        # The SDK calls its readers only when it has an instrument of its own.
        started = time.monotonic()
        meter = self._meters.get_meter("plexus")
        meter.create_observable_gauge(
            "process.uptime",
            [lambda _: [Observation(time.monotonic() - started)]],
            "s",
            "The time the process has been running.",
        )
        meter.create_observable_counter("process.cpu.time", [_cpu_time], "s", "CPU seconds, by mode.")
        meter.create_observable_up_down_counter(
            "process.memory.usage", [_memory], "By", "Physical memory in use."
        )

    def begin(self, request: RequestContext, name: str, attributes: Mapping[str, str]) -> Span | None:
        """Start the server span of a request if it is to be traced, and make it the current one."""
        if self._tracer is None:
            return None
        parent = request.parent
        if not (parent is not None and parent[2]) and random.random() >= self._ratio:
            return None
        context = None if parent is None else _remote(parent)
        request.tracer = self._tracer
        request.span = self._tracer.start_span(name, context, SpanKind.SERVER, dict(attributes))
        return request.span

    def span(
        self, name: str, attributes: Mapping[str, str | int] | None = None
    ) -> AbstractContextManager[Span | None]:
        """A span within the request of this task; nothing if that is not traced."""
        request = REQUEST.get()
        if self._tracer is None or request is None or request.span is None:
            return _NO_SPAN
        if trace.get_current_span().get_span_context().trace_id:
            return self._tracer.start_as_current_span(name, attributes=attributes)
        parent = trace.set_span_in_context(request.span)
        return self._tracer.start_as_current_span(name, parent, attributes=attributes)

    def batch(
        self,
        name: str,
        requests: Sequence[RequestContext] = (),
        attributes: Mapping[str, str | int] | None = None,
    ) -> AbstractContextManager[Span | None]:
        """A span around work for several requests, linked to those that are traced; nothing if none is."""
        if self._tracer is None:
            return _NO_SPAN
        links = [Link(request.span.get_span_context()) for request in requests if request.span is not None]
        if not links and (requests or random.random() >= self._ratio):
            return _NO_SPAN
        return self._tracer.start_as_current_span(name, links=links, attributes=attributes)

    def received(
        self, traceparent: str, name: str, started_ns: int, attributes: Mapping[str, str | int]
    ) -> Span | None:
        """A span around what came by a message, in the trace of whoever sent it; the caller ends it. None if
        nothing is traced here, or the sender's span was not sampled.
        """
        if self._tracer is None:
            return None
        parent = parse_traceparent(traceparent)
        if parent is None or not parent[2]:
            return None
        return self._tracer.start_span(
            name, _remote(parent), SpanKind.CONSUMER, attributes, start_time=started_ns
        )

    def deliver(
        self, cause: SpanContext, name: str, started_ns: int, attributes: Mapping[str, str | int]
    ) -> None:
        """The request of this task answers with what ``cause`` is about: a span in that trace, which ends
        with the request and is linked to its own span.
        """
        request = REQUEST.get()
        if self._tracer is None or request is None or request.delivery is not None:
            return
        links = [] if request.span is None else [Link(request.span.get_span_context())]
        parent = trace.set_span_in_context(NonRecordingSpan(cause))
        request.delivery = self._tracer.start_span(
            name, parent, attributes=attributes, links=links, start_time=started_ns
        )

    def traceparent(self) -> str | None:
        """For a call to another service; None outside of a request."""
        request = REQUEST.get()
        return request.traceparent() if request is not None else None

    def prometheus(self) -> bytes:
        """All metrics in Prometheus's text format."""
        return generate_latest(self._registry)

    def shutdown(self) -> None:
        """Export what is left. Blocks, at most for the exporters' time-outs: call it in a thread."""
        if self._tracers is not None:
            self._tracers.shutdown()
        self._meters.shutdown()


def _remote(parent: tuple[str, str, bool]) -> Context:
    flags = TraceFlags(TraceFlags.SAMPLED)
    remote = SpanContext(int(parent[0], 16), int(parent[1], 16), is_remote=True, trace_flags=flags)
    return trace.set_span_in_context(NonRecordingSpan(remote))


def _cpu_time(_: CallbackOptions) -> list[Observation]:
    used = os.times()
    return [Observation(used.user, {"cpu.mode": "user"}), Observation(used.system, {"cpu.mode": "system"})]


def _memory(_: CallbackOptions) -> list[Observation]:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        # Not a Linux: nothing is reported.
        return []
    return [Observation(pages * os.sysconf("SC_PAGE_SIZE"))]
