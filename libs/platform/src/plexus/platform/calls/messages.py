"""What a call looks like on the wire.

    POST /{service}/{method}
    authorization: Bearer <secret, in base64>       with a shared secret
    content-type: application/protobuf; proto=<full name of the request's message>
    accept: application/protobuf; proto=<full name of the answer's message>
    plexus-deadline-ms: <how long the caller still waits>
    traceparent, x-request-id                       if the call belongs to a request

An answer of the method is 200 and the message that was accepted, or an error's status and a `Fault`. Anything
else comes from the way there, in plain text: 400 for what is no call, 401 and 403 for who may not call, 404
for a method that is not here, 406 and 415 for other messages than the method's, 413 for too much.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from typing import Any

import orjson
from google.protobuf.message import Message
from plexus.platform.ports import CallContext
from plexus.proto.internal.v1.fault_pb2 import Fault
from plexus.protocol import errors
from plexus.protocol.errors import MatrixError
from pydantic import SecretStr

DEADLINE = "plexus-deadline-ms"
TRACEPARENT = "traceparent"
REQUEST_ID = "x-request-id"
PLAIN = "text/plain; charset=utf-8"


def credential(secret: SecretStr) -> str:
    """What a call carries for the secret, which may have any characters."""
    return urlsafe_b64encode(secret.get_secret_value().encode()).decode()


def content_type(message: type[Message]) -> str:
    return f"application/protobuf; proto={message.DESCRIPTOR.full_name}"


FAULT = content_type(Fault)


def context_headers(context: CallContext) -> dict[str, str]:
    headers = {DEADLINE: str(max(1, context.deadline_ms))}
    if context.traceparent is not None:
        headers[TRACEPARENT] = context.traceparent
    if context.request_id is not None:
        headers[REQUEST_ID] = context.request_id
    return headers


def encode_fault(error: MatrixError) -> bytes:
    extra = orjson.dumps(error.extra) if error.extra else b""
    fault = Fault(
        status=error.status, errcode=error.errcode, error=error.message, extra=extra, headers=error.headers
    )
    return fault.SerializeToString()


def decode_fault(data: bytes) -> MatrixError:
    """The error as it was raised, of the class that its status and code name. ValueError if it is none."""
    fault = Fault.FromString(data)
    extra: Any = orjson.loads(fault.extra) if fault.extra else {}
    if not 400 <= fault.status <= 599 or not fault.errcode or not isinstance(extra, dict):
        raise ValueError("no Matrix error")
    error = _of_class(fault, extra)
    # The body and the headers are the handler's, also where the class would have made others.
    error.extra, error.headers = extra, dict(fault.headers)
    return error


def _of_class(fault: Fault, extra: dict[str, Any]) -> MatrixError:
    match fault.status, fault.errcode:
        case 429, "M_LIMIT_EXCEEDED":
            return errors.LimitExceeded(int(extra.get("retry_after_ms", 1000)), fault.error)
        case 503, "M_UNKNOWN":
            return errors.Unavailable(fault.error)
        case 401, "M_UNKNOWN_TOKEN":
            return errors.UnknownToken(fault.error, soft_logout=extra.get("soft_logout") is True)
        case 400, "M_INCOMPATIBLE_ROOM_VERSION":
            return errors.IncompatibleRoomVersion(str(extra.get("room_version", "")), fault.error)
    plain = _PLAIN.get((fault.status, fault.errcode))
    if plain is not None:
        return plain(fault.error)
    return MatrixError(fault.status, fault.errcode, fault.error)


_PLAIN = {
    (kind.STATUS, kind.ERRCODE): kind
    for kind in (
        errors.Unrecognized,
        errors.MethodNotAllowed,
        errors.MissingToken,
        errors.Forbidden,
        errors.GuestAccessForbidden,
        errors.UserDeactivated,
        errors.CannotLeaveServerNoticeRoom,
        errors.NotFound,
        errors.BadJson,
        errors.NotJson,
        errors.InvalidParam,
        errors.MissingParam,
        errors.UserInUse,
        errors.InvalidUsername,
        errors.RoomInUse,
        errors.WeakPassword,
        errors.UnsupportedRoomVersion,
        errors.TooLarge,
    )
}
