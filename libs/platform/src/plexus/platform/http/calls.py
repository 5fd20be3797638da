"""The listener for calls from other services: an ASGI application over the methods of this process.

Who has not the secret is told so before anything is looked at, and nothing is run for them; certificates have
been checked before, by the listener's TLS. `plexus.platform.calls.messages` says what goes over the wire.
"""

from __future__ import annotations

import hmac
import logging
from time import monotonic, perf_counter
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.trace import Status, StatusCode
from plexus.platform.calls import HttpCalls
from plexus.platform.calls.direct import Method
from plexus.platform.calls.messages import (
    DEADLINE,
    FAULT,
    PLAIN,
    REQUEST_ID,
    TRACEPARENT,
    content_type,
    credential,
    encode_fault,
)
from plexus.platform.http.exchange import CLOSE
from plexus.platform.http.gateway import Surroundings
from plexus.platform.http.hot import ASGIApp, ClientGone, Receive, Scope, Send, read_body
from plexus.platform.ports import CallContext
from plexus.platform.telemetry import REQUEST, RequestContext
from plexus.platform.telemetry.request import new_request_id, parse_traceparent, usable_request_id
from plexus.protocol.errors import MatrixError, TooLarge, Unavailable

logger = logging.getLogger(__name__)

_LONGEST_MS = 600_000


class _RefusedError(Exception):
    """No call that anybody here answers."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


def calls_app(calls: HttpCalls, platform: Surroundings) -> ASGIApp:
    settings = platform.settings.calls
    telemetry, drain = platform.telemetry, platform.drain
    secret = credential(settings.secret).encode() if settings.secret is not None else None
    most = settings.max_message_bytes
    durations = telemetry.metrics.histogram(
        "rpc.server.duration", "s", "Duration of calls that other services make here."
    )

    def admit(scope: Scope, headers: dict[str, str]) -> Method:
        if secret is not None:
            kind, _, given = headers.get("authorization", "").partition(" ")
            if kind.lower() != "bearer" or not given:
                raise _RefusedError(401, "A call needs the secret")
            if not hmac.compare_digest(given.strip().encode("latin-1"), secret):
                raise _RefusedError(403, "This is not the secret")
        service, _, name = scope["path"][1:].partition("/")
        found = calls.direct.find(service, name)
        if found is None:
            raise _RefusedError(404, "Nobody here answers this method")
        if scope["method"] != "POST":
            raise _RefusedError(405, "A call is a POST")
        if headers.get("content-type") != content_type(found.request):
            raise _RefusedError(415, f"It takes {found.request.__name__}")
        if headers.get("accept") != content_type(found.response):
            raise _RefusedError(406, f"It gives {found.response.__name__}")
        return found

    async def decode(method: Method, receive: Receive) -> Any:
        try:
            return method.request.FromString(await read_body(receive, most))
        except DecodeError:
            raise _RefusedError(400, f"The body is no {method.request.__name__}") from None
        except TooLarge:
            raise _RefusedError(413, f"The body has more than {most} bytes") from None

    async def answer(method: Method, headers: dict[str, str], receive: Receive) -> tuple[int, str, bytes]:
        until = monotonic() + _deadline(headers) / 1000
        request = _request(headers)
        REQUEST.set(request)
        context_of = {"rpc.service": method.service, "rpc.method": method.name}
        telemetry.begin(request, f"{method.service}/{method.name}", context_of)
        status = 500
        try:
            message = await decode(method, receive)
            context = CallContext(
                max(0, round((until - monotonic()) * 1000)),
                headers[TRACEPARENT] if request.parent is not None else None,
                request.request_id if headers.get(REQUEST_ID) == request.request_id else None,
            )
            try:
                data: bytes = (await method.run(message, context)).SerializeToString()
                if len(data) > most:
                    logger.error("%s/%s answered more than %d bytes", method.service, method.name, most)
                    raise Unavailable("The answer is too large")
            except MatrixError as error:
                status = error.status
                return status, FAULT, encode_fault(error)
            status = 200
            return status, content_type(method.response), data
        finally:
            if request.span is not None:
                if status >= 500:
                    request.span.set_status(Status(StatusCode.ERROR))
                request.span.end()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        began = perf_counter()
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        method: Method | None = None
        try:
            method = admit(scope, headers)
            status, kind, data = await answer(method, headers, receive)
        except _RefusedError as refused:
            status, kind, data = refused.status, PLAIN, str(refused).encode()
        except ClientGone:
            return
        except Exception:
            logger.exception("A call failed")
            status, kind, data = 500, PLAIN, b"Failed"
        labels = {"rpc.service": method.service, "rpc.method": method.name} if method is not None else {}
        durations.labels({**labels, "status": "ok" if status == 200 else status}).record(
            perf_counter() - began
        )
        sent = [(b"content-type", kind.encode()), (b"content-length", b"%d" % len(data))]
        if drain.draining:
            sent.append(CLOSE)
        await send({"type": "http.response.start", "status": status, "headers": sent})
        await send({"type": "http.response.body", "body": data})

    return app


def _deadline(headers: dict[str, str]) -> int:
    text = headers.get(DEADLINE, "")
    if not (text.isascii() and text.isdigit() and 0 < len(text) < 10):
        raise _RefusedError(400, f"A call has a {DEADLINE}")
    return min(int(text), _LONGEST_MS)


def _request(headers: dict[str, str]) -> RequestContext:
    """The request that the call belongs to, at its caller's: who may call is believed."""
    text = headers.get(REQUEST_ID, "")
    request_id = text if usable_request_id(text) else new_request_id()
    return RequestContext(request_id, parse_traceparent(headers.get(TRACEPARENT, "")))
