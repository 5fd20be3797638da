"""The spans of facts that are published and received, by OpenTelemetry's conventions for messaging.

The system is the lanes themselves: what carries them (Kafka, or the process's memory) is an adapter's matter,
and what it loses is read from PostgreSQL, without a trace.
"""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.trace import Link, Span, SpanKind
from plexus.platform.telemetry.request import RequestContext

_FAMILIES = {"r": "rooms", "u": "users"}


def published(
    request: RequestContext,
    family: str,
    lane: int,
    facts: int,
    *,
    parent: Span | None = None,
    links: Sequence[Link] = (),
) -> Span:
    """The span of a group of facts that is about to be published on behalf of a traced request. The group
    carries its `traceparent_of`.
    """
    name = f"send {_FAMILIES[family]}"
    attributes = group_attributes("send", family, lane, facts)
    return request.child(name, SpanKind.PRODUCER, attributes, parent=parent, links=links)


def group_attributes(operation: str, family: str, lane: int, facts: int) -> dict[str, str | int]:
    """Of a span that sends or processes a group."""
    return {
        "messaging.system": "plexus.lanes",
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
        "messaging.destination.name": _FAMILIES[family],
        "messaging.destination.partition.id": str(lane),
        "messaging.batch.message_count": facts,
    }
