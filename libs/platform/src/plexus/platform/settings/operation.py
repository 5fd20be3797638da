"""Watching Plexus, and stopping it."""

from __future__ import annotations

from typing import Annotated, Literal

from plexus.platform.settings.section import Section
from pydantic import Field, SecretStr


class TelemetrySettings(Section):
    """Logs, traces, metrics. Metrics are always at ``/metrics`` on the internal listener."""

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least level that is written."
    )
    log_format: Literal["json", "text"] = Field(
        default="json", description="``json``: one object a line; ``text``: for eyes."
    )
    access_log: Literal["all", "errors", "off"] = Field(
        default="errors",
        description="Requests to log: all, those answered 5xx, or none. A line costs 20 to 40 µs.",
    )
    otlp_endpoint: str | None = Field(
        default=None,
        pattern=r"^https?://\S+$",
        description="OTLP over HTTP (``http://collector:4318``) for traces and metrics; empty: no export.",
    )
    otlp_headers: SecretStr | None = Field(
        default=None, description="Headers for it, ``name=value,name=value``."
    )
    trace_ratio: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.01, description="Share of requests that are traced when traces are exported."
    )
    loop_stall_seconds: Annotated[float, Field(ge=0.1)] = Field(
        default=5,
        description="An event loop that stands still for so long is logged, and fails liveness.",
    )
    metrics_interval_seconds: Annotated[float, Field(ge=1)] = Field(
        default=60, description="How often metrics are exported by OTLP."
    )


class MemorySettings(Section):
    """Memory of the processes."""

    huge_pages: bool = Field(
        default=True,
        description="Ask Linux to keep the heap in huge pages: a third less CPU for requests of a quiet "
        "server. Nothing happens where transparent huge pages are set to ``never``.",
    )


class ShutdownSettings(Section):
    """Leaving without breaking a request."""

    drain_seconds: Annotated[float, Field(gt=0)] = Field(
        default=25, description="Time for requests under way; less than the orchestrator's grace period."
    )
    readiness_seconds: Annotated[float, Field(ge=0)] = Field(
        default=0,
        description="Time to go on serving after readiness has failed, until gateways have noticed; 5 on "
        "Kubernetes.",
    )
