"""The OTLP exporters. A module of its own, imported only where they are wanted: it takes half a second."""

from __future__ import annotations

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from plexus.platform.settings import TelemetrySettings


def exporters(settings: TelemetrySettings) -> tuple[OTLPSpanExporter, OTLPMetricExporter]:
    """For traces and for metrics, to ``otlp_endpoint``."""
    if settings.otlp_endpoint is None:
        raise ValueError("There is no otlp_endpoint")
    base = settings.otlp_endpoint.rstrip("/")
    secret = settings.otlp_headers.get_secret_value() if settings.otlp_headers else ""
    headers = dict(pair.strip().split("=", 1) for pair in secret.split(",") if "=" in pair)
    return (
        OTLPSpanExporter(endpoint=f"{base}/v1/traces", headers=headers),
        OTLPMetricExporter(endpoint=f"{base}/v1/metrics", headers=headers),
    )
