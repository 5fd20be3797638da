"""Faults into answers: the one place where an exception becomes JSON.

    MatrixError             its own status and body
    RemoteFault             what it says of itself
    RequestValidationError  M_MISSING_PARAM, M_BAD_JSON or M_INVALID_PARAM
    HTTPException           Starlette's own (a broken form): its status with a Matrix body
    anything else           500 M_UNKNOWN, logged with its trace; nothing of it is shown

Client-Server API, "Standard error response".
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from plexus.platform.http.hot import Header, Send, send_json
from plexus.protocol.errors import BadJson, InvalidParam, MatrixError, MissingParam, RemoteFault, TooLarge
from starlette.exceptions import HTTPException
from starlette.responses import Response

INTERNAL = MatrixError(500, "M_UNKNOWN", "Internal server error")

ExceptionHandler = Callable[[Request, Exception], Awaitable[Response]]


def encode_error(error: MatrixError) -> bytes:
    return orjson.dumps(error.body())


def error_headers(error: MatrixError) -> list[Header]:
    return [
        (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in error.headers.items()
    ]


async def send_error(send: Send, error: MatrixError) -> None:
    """Answer a request with this error."""
    await send_json(send, error.status, encode_error(error), error_headers(error))


def from_validation(error: RequestValidationError) -> MatrixError:
    """What FastAPI found wrong with the parameters, in Matrix's words."""
    problems = error.errors()
    if not problems:
        return BadJson()
    first: dict[str, Any] = problems[0]
    location = [str(part) for part in first["loc"]]
    where = location[0] if location else "body"
    name = ".".join(location[1:]) or where
    if first["type"] == "missing":
        return MissingParam(f"Missing {where} parameter: {name}")
    if where == "body":
        return BadJson(f"Bad value in the body: {name}: {first['msg']}")
    return InvalidParam(f"Bad {where} parameter: {name}: {first['msg']}")


def from_http(error: HTTPException) -> MatrixError:
    if error.status_code == 413:
        return TooLarge()
    code = {401: "M_MISSING_TOKEN", 403: "M_FORBIDDEN", 404: "M_UNRECOGNIZED", 405: "M_UNRECOGNIZED"}
    return MatrixError(
        error.status_code, code.get(error.status_code, "M_UNKNOWN"), str(error.detail), None, error.headers
    )


def to_matrix(error: Exception) -> MatrixError | None:
    """The answer to this exception, or None if it is unexpected."""
    if isinstance(error, MatrixError):
        return error
    if isinstance(error, RequestValidationError):
        return from_validation(error)
    if isinstance(error, HTTPException):
        return from_http(error)
    if isinstance(error, RemoteFault):
        return error.to_matrix()
    return None


async def _respond(request: Request, error: Exception) -> Response:
    matrix = to_matrix(error)
    if matrix is None:  # registered below for these types only
        raise error
    return Response(encode_error(matrix), matrix.status, dict(matrix.headers), "application/json")


HANDLERS: dict[type[Exception], ExceptionHandler] = {
    MatrixError: _respond,
    RemoteFault: _respond,
    RequestValidationError: _respond,
    HTTPException: _respond,
}
