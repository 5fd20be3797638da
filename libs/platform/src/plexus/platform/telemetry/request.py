"""The request that the running task belongs to: its id and its trace, for logs and for calls onward, and who
waits for its answer.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from itertools import count

from opentelemetry.trace import Link, Span, SpanKind, Tracer, set_span_in_context
from plexus.platform.peer import Peer

_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_ZERO_TRACE = "0" * 32

_process = os.urandom(4).hex()
_numbers = count(1)


class RequestContext:
    """``span`` is there only when the request is traced; ``parent`` is the trusted ``traceparent`` it came
    with. ``delivery`` is a span of another trace that ends with this request: the answer tells of what that
    trace follows. ``peer`` is None where the request did not come over a connection.
    """

    __slots__ = ("_trace_id", "delivery", "parent", "peer", "request_id", "span", "tracer")

    def __init__(self, request_id: str, parent: tuple[str, str, bool] | None = None) -> None:
        self.request_id = request_id
        self.parent = parent
        self.peer: Peer | None = None
        self.span: Span | None = None
        self.tracer: Tracer | None = None
        self.delivery: Span | None = None
        self._trace_id: str | None = None

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits. Made up when first asked for if the request came without and is not
        traced.
        """
        if self._trace_id is None:
            if self.span is not None:
                self._trace_id = f"{self.span.get_span_context().trace_id:032x}"
            elif self.parent is not None:
                self._trace_id = self.parent[0]
            else:
                self._trace_id = os.urandom(16).hex()
        return self._trace_id

    def traceparent(self) -> str:
        """What to send along with a call to another service. W3C Trace Context, "traceparent Header"."""
        if self.span is not None:
            return traceparent_of(self.span)
        return f"00-{self.trace_id}-{os.urandom(8).hex()}-00"

    def child(
        self,
        name: str,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Mapping[str, str | int] | None = None,
        *,
        parent: Span | None = None,
        links: Sequence[Link] = (),
    ) -> Span:
        """A span below ``parent``, or below the request's own; the caller ends it. For a traced request only.

        Unlike `Telemetry.span` it needs no running task of the request: work for many requests at a time has
        a span in the trace of each.
        """
        if self.tracer is None or self.span is None:
            raise ValueError("The request is not traced")
        context = set_span_in_context(parent or self.span)
        return self.tracer.start_span(name, context, kind, attributes, links)


REQUEST: ContextVar[RequestContext | None] = ContextVar("plexus_request", default=None)


def peer_of_request() -> Peer:
    """Who waits for the answer of this task's request."""
    request = REQUEST.get()
    return Peer() if request is None or request.peer is None else request.peer


def traced_request() -> RequestContext | None:
    """The request of this task if it is traced."""
    request = REQUEST.get()
    return request if request is not None and request.span is not None else None


def traceparent_of(span: Span) -> str:
    """W3C Trace Context, "traceparent Header", of a sampled span."""
    context = span.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-01"


def new_request_id() -> str:
    """Unique without a system call: the process's random part and a number."""
    return f"{_process}-{next(_numbers):x}"


def usable_request_id(text: str) -> bool:
    """Whether a request id from a trusted proxy may be used as it is."""
    return _REQUEST_ID.fullmatch(text) is not None


def parse_traceparent(text: str) -> tuple[str, str, bool] | None:
    """(trace id, parent span id, sampled), or None."""
    found = _TRACEPARENT.fullmatch(text)
    if found is None or found[1] == _ZERO_TRACE or found[2] == _ZERO_TRACE[:16]:
        return None
    return found[1], found[2], bool(int(found[3], 16) & 1)
