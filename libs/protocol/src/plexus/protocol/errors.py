"""Every fault the protocol can name.

    ProtocolError
    ├── MatrixError              our answer to a client or a server: status, errcode, body
    │   ├── Unrecognized         404 M_UNRECOGNIZED
    │   ├── MethodNotAllowed     405 M_UNRECOGNIZED
    │   ├── MissingToken         401 M_MISSING_TOKEN
    │   ├── UnknownToken         401 M_UNKNOWN_TOKEN
    │   ├── UserLocked           401 M_USER_LOCKED
    │   ├── Forbidden            403 M_FORBIDDEN
    │   │   ├── ThreepidAuthFailed  403 M_THREEPID_AUTH_FAILED
    │   │   └── AuthRejected     403 M_FORBIDDEN, by a named authorisation rule
    │   ├── GuestAccessForbidden 403 M_GUEST_ACCESS_FORBIDDEN
    │   ├── UserDeactivated      403 M_USER_DEACTIVATED
    │   ├── UserSuspended        403 M_USER_SUSPENDED
    │   ├── InviteBlocked        403 M_INVITE_BLOCKED
    │   ├── CannotLeaveServerNoticeRoom  403 M_CANNOT_LEAVE_SERVER_NOTICE_ROOM
    │   ├── NotFound             404 M_NOT_FOUND
    │   ├── BadJson              400 M_BAD_JSON
    │   ├── NotJson              400 M_NOT_JSON
    │   ├── InvalidParam         400 M_INVALID_PARAM
    │   ├── MissingParam         400 M_MISSING_PARAM
    │   ├── UnknownPos           400 M_UNKNOWN_POS
    │   ├── UserInUse            400 M_USER_IN_USE
    │   ├── InvalidUsername      400 M_INVALID_USERNAME
    │   ├── RoomInUse            400 M_ROOM_IN_USE
    │   ├── WeakPassword         400 M_WEAK_PASSWORD
    │   ├── UnsupportedRoomVersion    400 M_UNSUPPORTED_ROOM_VERSION
    │   ├── IncompatibleRoomVersion   400 M_INCOMPATIBLE_ROOM_VERSION
    │   ├── ThreepidInUse        400 M_THREEPID_IN_USE
    │   ├── ThreepidMediumNotSupported  400 M_THREEPID_MEDIUM_NOT_SUPPORTED
    │   ├── ServerNotTrusted     400 M_SERVER_NOT_TRUSTED
    │   ├── TooLarge             413 M_TOO_LARGE
    │   ├── LimitExceeded        429 M_LIMIT_EXCEEDED
    │   └── Unavailable          503 M_UNKNOWN
    ├── MissingEvents            state resolution needs more events than its caller had at hand
    └── RemoteFault              another server broke the rules; it is never the caller's fault
        ├── InvalidEvent         not an event of its room version: dropped
        ├── InvalidEdu           not an EDU of its type: dropped
        ├── BadSignature         a signature is missing or wrong: dropped
        └── BadHash              the content hash differs: redacted, then kept

A ``MatrixError`` is an answer and can be sent as it stands. A ``RemoteFault`` is a finding about what was
received: who catches it decides whether to drop, redact or refuse, and ``RemoteFault.to_matrix`` gives the
answer when there is someone to refuse.

Client-Server API, "Standard error response" and "Common error codes".
"""

# The names are the protocol's: an Error suffix would only repeat the module.
# ruff: noqa: N818

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Any, ClassVar


class ProtocolError(Exception):
    """Base of every error of this package."""


class MatrixError(ProtocolError):
    """A standard error response.

    ``extra`` holds the additional members of the JSON body, ``headers`` those HTTP headers that belong to the
    error itself.
    """

    def __init__(
        self,
        status: int,
        errcode: str,
        message: str,
        extra: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.errcode = errcode
        self.message = message
        self.extra: dict[str, Any] = dict(extra or {})
        self.headers: dict[str, str] = dict(headers or {})

    def __str__(self) -> str:
        return f"{self.errcode}: {self.message}"

    def body(self) -> dict[str, Any]:
        """The JSON body; ``errcode`` and ``error`` win over ``extra``."""
        return {**self.extra, "errcode": self.errcode, "error": self.message}


class _Fixed(MatrixError):
    """A Matrix error whose status and code follow from its class."""

    STATUS: ClassVar[int]
    ERRCODE: ClassVar[str]
    MESSAGE: ClassVar[str]

    def __init__(
        self,
        message: str | None = None,
        extra: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(
            self.STATUS, self.ERRCODE, self.MESSAGE if message is None else message, extra, headers
        )


class Unrecognized(_Fixed):
    STATUS, ERRCODE, MESSAGE = 404, "M_UNRECOGNIZED", "Unrecognized request"


class MethodNotAllowed(_Fixed):
    STATUS, ERRCODE, MESSAGE = 405, "M_UNRECOGNIZED", "Method not allowed"


class MissingToken(_Fixed):
    STATUS, ERRCODE, MESSAGE = 401, "M_MISSING_TOKEN", "Missing access token"


class UnknownToken(_Fixed):
    """``soft_logout`` tells the client to log in again without losing its device and keys."""

    STATUS, ERRCODE, MESSAGE = 401, "M_UNKNOWN_TOKEN", "Unrecognised access token"

    def __init__(self, message: str | None = None, *, soft_logout: bool = False) -> None:
        super().__init__(message, {"soft_logout": soft_logout})
        self.soft_logout = soft_logout


class UserLocked(_Fixed):
    """An administrator has locked the account: the client keeps its session and waits."""

    STATUS, ERRCODE, MESSAGE = 401, "M_USER_LOCKED", "This account has been locked"

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message, {"soft_logout": True})


class Forbidden(_Fixed):
    STATUS, ERRCODE, MESSAGE = 403, "M_FORBIDDEN", "You are not allowed to do this"


class ThreepidAuthFailed(Forbidden):
    ERRCODE, MESSAGE = "M_THREEPID_AUTH_FAILED", "This address has not been validated"


class AuthRejected(Forbidden):
    """An event refused by an authorisation rule.

    ``rule`` is the number of the rule in the room version's list (say ``"5.3.2"``), ``why`` a sentence,
    ``name`` the rule's name, which is the same in all room versions (``rule_numbers``).
    """

    def __init__(self, rule: str, why: str, name: str = "") -> None:
        super().__init__(why)
        self.rule = rule
        self.why = why
        self.name = name

    def __str__(self) -> str:
        return f"{self.errcode}: {self.why} (rule {self.rule})"


class GuestAccessForbidden(_Fixed):
    STATUS, ERRCODE, MESSAGE = 403, "M_GUEST_ACCESS_FORBIDDEN", "Guests are not allowed here"


class UserDeactivated(_Fixed):
    STATUS, ERRCODE, MESSAGE = 403, "M_USER_DEACTIVATED", "This account has been deactivated"


class UserSuspended(_Fixed):
    STATUS, ERRCODE = 403, "M_USER_SUSPENDED"
    MESSAGE = "You cannot perform this action while suspended"


class InviteBlocked(_Fixed):
    STATUS, ERRCODE, MESSAGE = 403, "M_INVITE_BLOCKED", "The user does not take invites"


class ServerNotTrusted(_Fixed):
    STATUS, ERRCODE = 400, "M_SERVER_NOT_TRUSTED"
    MESSAGE = "This server does not trust that identity server"


class CannotLeaveServerNoticeRoom(_Fixed):
    STATUS, ERRCODE = 403, "M_CANNOT_LEAVE_SERVER_NOTICE_ROOM"
    MESSAGE = "You cannot leave the server notices room"


class NotFound(_Fixed):
    STATUS, ERRCODE, MESSAGE = 404, "M_NOT_FOUND", "Not found"


class BadJson(_Fixed):
    STATUS, ERRCODE, MESSAGE = 400, "M_BAD_JSON", "The JSON is malformed"


class NotJson(_Fixed):
    STATUS, ERRCODE, MESSAGE = 400, "M_NOT_JSON", "The content is not JSON"


class InvalidParam(_Fixed):
    STATUS, ERRCODE, MESSAGE = 400, "M_INVALID_PARAM", "A parameter has the wrong value"


class MissingParam(_Fixed):
    STATUS, ERRCODE, MESSAGE = 400, "M_MISSING_PARAM", "A required parameter is missing"


class UnknownPos(_Fixed):
    """MSC4186, "Connections"."""

    STATUS, ERRCODE, MESSAGE = 400, "M_UNKNOWN_POS", "The connection has expired: begin again without pos"


class UserInUse(_Fixed):
    STATUS, ERRCODE, MESSAGE = 400, "M_USER_IN_USE", "This user ID is taken"


class InvalidUsername(_Fixed):
    STATUS, ERRCODE, MESSAGE = 400, "M_INVALID_USERNAME", "This user ID is not valid"


class RoomInUse(_Fixed):
    STATUS, ERRCODE, MESSAGE = 400, "M_ROOM_IN_USE", "This room alias is taken"


class WeakPassword(_Fixed):
    STATUS, ERRCODE, MESSAGE = 400, "M_WEAK_PASSWORD", "This password is too weak"


class UnsupportedRoomVersion(_Fixed):
    STATUS, ERRCODE = 400, "M_UNSUPPORTED_ROOM_VERSION"
    MESSAGE = "This server does not support that room version"


class IncompatibleRoomVersion(_Fixed):
    """The room to be joined has a version that the joining server does not know."""

    STATUS, ERRCODE = 400, "M_INCOMPATIBLE_ROOM_VERSION"
    MESSAGE = "Your server does not support the version of this room"

    def __init__(self, room_version: str, message: str | None = None) -> None:
        super().__init__(message, {"room_version": room_version})
        self.room_version = room_version


class ThreepidInUse(_Fixed):
    STATUS, ERRCODE, MESSAGE = 400, "M_THREEPID_IN_USE", "This address belongs to another account"


class ThreepidMediumNotSupported(_Fixed):
    STATUS, ERRCODE = 400, "M_THREEPID_MEDIUM_NOT_SUPPORTED"
    MESSAGE = "This server supports no addresses of this kind"


class TooLarge(_Fixed):
    STATUS, ERRCODE, MESSAGE = 413, "M_TOO_LARGE", "The request or event is too large"


class LimitExceeded(_Fixed):
    """Rate limited. ``retry_after_ms`` goes into the body (deprecated there) and into ``Retry-After``."""

    STATUS, ERRCODE, MESSAGE = 429, "M_LIMIT_EXCEEDED", "Too many requests"

    def __init__(self, retry_after_ms: int, message: str | None = None) -> None:
        super().__init__(message, {"retry_after_ms": retry_after_ms}, _retry_after(retry_after_ms))
        self.retry_after_ms = retry_after_ms


class Unavailable(_Fixed):
    """The outcome is unknown or the server is overloaded: the same request may be repeated."""

    STATUS, ERRCODE, MESSAGE = 503, "M_UNKNOWN", "The server cannot answer now, try again"

    def __init__(self, message: str | None = None, *, retry_after_ms: int = 1000) -> None:
        super().__init__(message, None, _retry_after(retry_after_ms))
        self.retry_after_ms = retry_after_ms


class MissingEvents(ProtocolError):
    """What is not at hand: events by ID, and places (type, state key) of the unconflicted state.

    Load them, and better some of their auth events too, and repeat.
    """

    def __init__(
        self,
        event_ids: frozenset[str] = frozenset(),
        places: frozenset[tuple[str, str]] = frozenset(),
    ) -> None:
        super().__init__(f"{len(event_ids)} events and {len(places)} places of the state are not at hand")
        self.event_ids = event_ids
        self.places = places


class RemoteFault(ProtocolError):
    """What a remote server sent breaks the protocol."""

    STATUS: ClassVar[int] = 400
    ERRCODE: ClassVar[str] = "M_UNKNOWN"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def to_matrix(self) -> MatrixError:
        """The answer, where this was found in a request that has to be answered."""
        return MatrixError(self.STATUS, self.ERRCODE, self.message)


class InvalidEvent(RemoteFault):
    ERRCODE = "M_BAD_JSON"


class InvalidEdu(RemoteFault):
    ERRCODE = "M_BAD_JSON"


class BadSignature(RemoteFault):
    STATUS, ERRCODE = 403, "M_FORBIDDEN"


class BadHash(RemoteFault):
    STATUS, ERRCODE = 400, "M_BAD_JSON"


def _retry_after(milliseconds: int) -> dict[str, str]:
    # Whole seconds, rounded up: a client that waits exactly as told must not be refused again.
    return {"Retry-After": str(max(1, ceil(milliseconds / 1000)))}
