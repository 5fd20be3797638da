"""A small OTLP receiver: what a server exports over HTTP, as the protocol's own messages."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span


def attributes_of(pairs: Any) -> dict[str, str | int | float | bool]:
    """Attributes as a dict; arrays and maps are not among ours."""
    found: dict[str, str | int | float | bool] = {}
    pair: KeyValue
    for pair in pairs:
        kind = pair.value.WhichOneof("value")
        assert kind is not None, pair
        found[pair.key] = getattr(pair.value, kind)
    return found


class OtlpReceiver:
    """Listens on a free port of the loopback, in threads of its own, while used as a context manager."""

    def __init__(self) -> None:
        self._spans: list[Span] = []
        self._services: dict[bytes, str] = {}
        self._metrics: list[Metric] = []
        self.headers: list[dict[str, str]] = []
        """Of each request, with names in lower case."""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                receiver.headers.append({name.lower(): value for name, value in self.headers.items()})
                receiver._take(self.path, body)
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> OtlpReceiver:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _take(self, path: str, body: bytes) -> None:
        if path == "/v1/traces":
            traces = ExportTraceServiceRequest.FromString(body)
            for resource in traces.resource_spans:
                service = str(attributes_of(resource.resource.attributes)["service.name"])
                for scope in resource.scope_spans:
                    self._services |= {span.span_id: service for span in scope.spans}
                    self._spans += scope.spans
        elif path == "/v1/metrics":
            metrics = ExportMetricsServiceRequest.FromString(body)
            for group in metrics.resource_metrics:
                for ours in group.scope_metrics:
                    self._metrics += ours.metrics

    def spans(self, trace_id: bytes | None = None) -> list[Span]:
        """All spans so far, or those of one trace, in the order of their start."""
        found = [span for span in self._spans if trace_id is None or span.trace_id == trace_id]
        return sorted(found, key=lambda span: span.start_time_unix_nano)

    def service_of(self, span: Span) -> str:
        """The ``service.name`` of the process that made it."""
        return self._services[span.span_id]

    def metrics(self, name: str | None = None) -> list[Metric]:
        """All metrics so far, or all reports of one."""
        return [metric for metric in self._metrics if name is None or metric.name == name]

    def wait(self, condition: Callable[[], bool], patience: float = 20) -> bool:
        """Wait until a condition on what was received holds; False if it does not in time."""
        deadline = time.monotonic() + patience
        while not condition():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True
