"""The embedded `InternalCalls`: a direct call within the process.

The request is handed over as it is; the deadline, the trace and the errors are those of a call over the
network, so that nothing comes to rely on their absence.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message
from plexus.platform.ports import CallContext, Handler, RequestT, ResponseT
from plexus.platform.telemetry import REQUEST
from plexus.protocol.errors import MatrixError, Unavailable

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Method:
    """One method that is answered in this process."""

    service: str
    name: str
    request: type[Any]
    response: type[Any]
    handler: Handler[Any, Any]

    async def run(self, request: Any, context: CallContext) -> Any:
        """The handler's answer within the context's deadline, or a `MatrixError` that tells nothing of what
        went wrong inside.
        """
        if context.deadline_ms <= 0:
            # A time-out of nothing would let a handler run that never waits.
            raise Unavailable(f"{self.service}/{self.name} did not answer in time")
        try:
            async with asyncio.timeout(context.deadline_ms / 1000):
                answer = await self.handler(request, context)
        except TimeoutError:
            raise Unavailable(f"{self.service}/{self.name} did not answer in time") from None
        except MatrixError:
            raise
        except Exception as error:
            logger.exception("%s/%s failed", self.service, self.name)
            raise Unavailable(f"{self.service}/{self.name} failed") from error
        if not isinstance(answer, self.response):
            raise TypeError(f"{self.service}/{self.name} answered {type(answer).__name__}")
        return answer


class DirectCalls:
    def __init__(self, traceparent: Callable[[], str | None] = lambda: None) -> None:
        """``traceparent`` gives the trace of the running request (`Telemetry.traceparent`)."""
        self._traceparent = traceparent
        self._methods: dict[tuple[str, str], Method] = {}

    def register(
        self,
        service: str,
        method: str,
        request: type[RequestT],
        response: type[ResponseT],
        handler: Handler[RequestT, ResponseT],
    ) -> None:
        if (service, method) in self._methods:
            raise ValueError(f"{service}/{method} is answered already")
        self._methods[service, method] = Method(service, method, request, response, handler)

    def find(self, service: str, method: str) -> Method | None:
        return self._methods.get((service, method))

    def answers(self, service: str) -> bool:
        """Whether the service is in this process."""
        return any(name == service for name, _ in self._methods)

    async def call(
        self,
        service: str,
        method: str,
        request: Message,
        response: type[ResponseT],
        *,
        deadline_ms: int,
        idempotent: bool = False,
    ) -> ResponseT:
        found = self.find(service, method)
        if found is None:
            raise Unavailable(f"Nobody answers {service}/{method}")
        if not isinstance(request, found.request) or found.response is not response:
            takes, gives = found.request.__name__, found.response.__name__
            raise TypeError(f"{service}/{method} takes {takes} and gives {gives}")
        current = REQUEST.get()
        request_id = current.request_id if current is not None else None
        answer: ResponseT = await found.run(
            request, CallContext(deadline_ms, self._traceparent(), request_id)
        )
        return answer

    async def close(self) -> None:
        """Nothing is open."""
