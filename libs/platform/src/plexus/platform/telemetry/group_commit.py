"""One group commit of a lane in the traces of all its traced requests.

Each of them has its own two spans of the commit: ``write group`` from the call to the publishing, and in it
the call of PostgreSQL. The facts are published once, so the span of that is in one trace, the first one's,
with links to the others; the trace that goes on to the readers is that one. Without a traced request there
is none of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import TracebackType
from typing import Protocol

from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode
from plexus.platform.telemetry.messaging import published
from plexus.platform.telemetry.request import RequestContext, traceparent_of

_NONE: AbstractContextManager[None] = nullcontext()


class HasTraced(Protocol):
    @property
    def traced(self) -> Sequence[RequestContext]:
        """The traced ones of the requests that want this written."""
        ...


class GroupTrace:
    """A context manager around the call; `publishing` is one around the publishing of what it wrote."""

    @staticmethod
    def of(
        procedure: str, family: str, lane: int, writes: Sequence[HasTraced]
    ) -> AbstractContextManager[GroupTrace | None]:
        """For the writes that go into one call of a stored procedure; nothing if none of them is traced."""
        for write in writes:
            if write.traced:
                return GroupTrace(procedure, family, lane, writes)
        return _NONE

    def __init__(self, procedure: str, family: str, lane: int, writes: Sequence[HasTraced]) -> None:
        self._family = family
        self._lane = lane
        self._requests = [request for write in writes for request in write.traced]
        attributes: dict[str, str | int] = {"plexus.lane": lane}
        self._groups = [request.child("write group", attributes=attributes) for request in self._requests]
        call: dict[str, str | int] = {"db.system.name": "postgresql", "db.stored_procedure.name": procedure}
        if len(writes) > 1:
            call["db.operation.batch.size"] = len(writes)
        self._calls = [
            request.child(procedure, SpanKind.CLIENT, call, parent=group)
            for request, group in zip(self._requests, self._groups, strict=True)
        ]

    def __enter__(self) -> GroupTrace:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for span in (*self._calls, *self._groups):
            if span.is_recording():
                if kind is not None:
                    span.set_attribute("error.type", kind.__qualname__)
                    span.set_status(Status(StatusCode.ERROR))
                span.end()

    @contextmanager
    def publishing(self, facts: int) -> Iterator[str]:
        """The call is over; the ``traceparent`` of the group that is published in here."""
        _end(self._calls)
        first, *others = self._groups
        links = [Link(span.get_span_context()) for span in others]
        span = published(self._requests[0], self._family, self._lane, facts, parent=first, links=links)
        try:
            yield traceparent_of(span)
        finally:
            span.end()


def _end(spans: Sequence[Span]) -> None:
    for span in spans:
        if span.is_recording():
            span.end()
