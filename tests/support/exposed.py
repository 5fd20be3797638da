"""The rules of what metrics are named and told apart by, and a reader of /metrics."""

from __future__ import annotations

import re
from dataclasses import dataclass

ALLOWED = {
    "cpu.mode",
    "db.client.connection.pool.name",
    "db.client.connection.state",
    "error.type",
    "follower",
    "http.request.method",
    "http.response.status_code",
    "http.route",
    "kind",
    "messaging.destination.name",
    "messaging.operation.name",
    "messaging.system",
    "port",
    "rpc.method",
    "rpc.service",
    "service",
    "side",
    "status",
    "url.scheme",
}
"""Each has few values, whatever users do."""

CONVENTIONAL = {
    "db.client.connection.count",
    "db.client.connection.max",
    "db.client.connection.pending_requests",
    "http.server.active_requests",
    "http.server.request.duration",
    "process.cpu.time",
    "process.memory.usage",
    "process.uptime",
}
"""What OpenTelemetry has a name for; all else is ours, and says so."""

CONVENTIONAL_IN_A_CLUSTER = {
    "messaging.client.consumed.messages",
    "messaging.client.operation.duration",
    "messaging.client.sent.messages",
    "rpc.client.duration",
    "rpc.server.duration",
}

WHO_OR_WHERE = re.compile(r"[@!$#:]")
"""In a value: it is the name of a user, a room, an event, an alias or a server."""

# Of Prometheus's own library, for every Python process; of the exposition, beside each metric.
_OF_PYTHON = ("process_", "python_gc_", "python_info", "target_info")
_OF_THE_FORM = {"le", "generation", "implementation", "major", "minor", "patchlevel", "version"}
_OF_THE_PROCESS = ("otel_scope_", "service_", "telemetry_sdk_")
_LABEL = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class Series:
    """A line of /metrics."""

    name: str
    labels: tuple[tuple[str, str], ...]
    value: float


def read(text: str) -> list[Series]:
    found = re.findall(r"^(\w+)(?:\{(.*)\})? (\S+)", text, re.MULTILINE)
    return [Series(name, tuple(_LABEL.findall(labels)), float(value)) for name, labels, value in found]


def offences(series: list[Series]) -> list[Series]:
    """Those with a name that is neither conventional nor ours, with a label that is not among the allowed, or
    with a value that says who or where.
    """
    names = tuple(_in_prometheus(name) for name in CONVENTIONAL | CONVENTIONAL_IN_A_CLUSTER)
    labels = {_in_prometheus(name) for name in ALLOWED} | _OF_THE_FORM
    return [
        one
        for one in series
        if not one.name.startswith(("plexus_", *_OF_PYTHON, *names))
        or any(
            not (label in labels or label.startswith(_OF_THE_PROCESS)) or WHO_OR_WHERE.search(value)
            for label, value in one.labels
        )
    ]


def _in_prometheus(name: str) -> str:
    return name.replace(".", "_")
