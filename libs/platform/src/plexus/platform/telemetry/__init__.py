"""Traces, metrics and the request that they belong to, from the first day and cheap.

1. `Metrics` counts (0.1 to 0.3 µs a record); Prometheus reads it at ``/metrics``, OTLP takes it by setting.
2. Traces are made only when they are exported (``telemetry.otlp_endpoint``), for a share of the requests. A
   span is made by hand where it explains something: `Telemetry.span` inside of a request, `Telemetry.batch`
   around work that belongs to none. In a request that is not traced it costs a look-up.
3. One trace follows a message: the request that sends it, the group commit in the lane
   (`GroupTrace`), the group of facts that is published with its ``traceparent`` (`published`), the
   replica that receives it (`Telemetry.received`), and the held sync that is answered because of it
   (`Telemetry.deliver`).
4. `RequestContext` carries the request id and the trace id into logs (`plexus.platform.logs`) and onward
   calls.
"""

from opentelemetry.trace import Span, SpanContext
from plexus.platform.telemetry.event_loop import LoopWatch
from plexus.platform.telemetry.group_commit import GroupTrace
from plexus.platform.telemetry.messaging import group_attributes, published
from plexus.platform.telemetry.metrics import (
    SECONDS,
    SIZES,
    Counter,
    CounterCell,
    Gauge,
    Histogram,
    HistogramCell,
    Metrics,
)
from plexus.platform.telemetry.request import (
    REQUEST,
    RequestContext,
    peer_of_request,
    traced_request,
    traceparent_of,
)
from plexus.platform.telemetry.telemetry import Telemetry

__all__ = [
    "REQUEST",
    "SECONDS",
    "SIZES",
    "Counter",
    "CounterCell",
    "Gauge",
    "GroupTrace",
    "Histogram",
    "HistogramCell",
    "LoopWatch",
    "Metrics",
    "RequestContext",
    "Span",
    "SpanContext",
    "Telemetry",
    "group_attributes",
    "peer_of_request",
    "published",
    "traced_request",
    "traceparent_of",
]
