"""The embedded `InternalCalls`: a direct call within the process.

The request is handed over as it is; the deadline, the trace and the errors are those of a call over the
network, so that nothing comes to rely on their absence.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from plexus.platform.ports import CallContext, Handler, Message, RequestT, ResponseT
from plexus.platform.telemetry import REQUEST
from plexus.protocol.errors import MatrixError, Unavailable

logger = logging.getLogger(__name__)


class DirectCalls:
    def __init__(self, traceparent: Callable[[], str | None] = lambda: None) -> None:
        """``traceparent`` gives the trace of the running request (`Telemetry.traceparent`)."""
        self._traceparent = traceparent
        self._handlers: dict[tuple[str, str], tuple[type[Any], type[Any], Handler[Any, Any]]] = {}

    def register(
        self,
        service: str,
        method: str,
        request: type[RequestT],
        response: type[ResponseT],
        handler: Handler[RequestT, ResponseT],
    ) -> None:
        if (service, method) in self._handlers:
            raise ValueError(f"{service}/{method} is answered already")
        self._handlers[service, method] = (request, response, handler)

    async def call(
        self,
        service: str,
        method: str,
        request: Message,
        response: type[ResponseT],
        *,
        deadline_ms: int,
    ) -> ResponseT:
        found = self._handlers.get((service, method))
        if found is None:
            raise Unavailable(f"Nobody answers {service}/{method}")
        takes, gives, handler = found
        if not isinstance(request, takes) or gives is not response:
            raise TypeError(f"{service}/{method} takes {takes.__name__} and gives {gives.__name__}")
        current = REQUEST.get()
        context = CallContext(
            deadline_ms, self._traceparent(), current.request_id if current is not None else None
        )
        try:
            async with asyncio.timeout(deadline_ms / 1000):
                answer = await handler(request, context)
        except TimeoutError:
            raise Unavailable(f"{service}/{method} did not answer in time") from None
        except MatrixError:
            raise
        except Exception as error:
            logger.exception("%s/%s failed", service, method)
            raise Unavailable(f"{service}/{method} failed") from error
        if not isinstance(answer, response):
            raise TypeError(f"{service}/{method} answered {type(answer).__name__}")
        return answer
