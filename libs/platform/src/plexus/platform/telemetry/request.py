"""The request that the running task belongs to: its id and its trace, for logs and for calls onward."""

from __future__ import annotations

import os
import re
from contextvars import ContextVar
from itertools import count

from opentelemetry.trace import Span

_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_ZERO_TRACE = "0" * 32

_process = os.urandom(4).hex()
_numbers = count(1)


class RequestContext:
    """``span`` is there only when the request is traced; ``parent`` is the trusted ``traceparent`` it came
    with.
    """

    __slots__ = ("_trace_id", "parent", "request_id", "span")

    def __init__(self, request_id: str, parent: tuple[str, str, bool] | None = None) -> None:
        self.request_id = request_id
        self.parent = parent
        self.span: Span | None = None
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
            context = self.span.get_span_context()
            return f"00-{context.trace_id:032x}-{context.span_id:016x}-01"
        return f"00-{self.trace_id}-{os.urandom(8).hex()}-00"


REQUEST: ContextVar[RequestContext | None] = ContextVar("plexus_request", default=None)


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
