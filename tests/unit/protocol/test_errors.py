"""plexus.protocol.errors"""

from __future__ import annotations

import pytest
from plexus.protocol import errors


@pytest.mark.parametrize(
    ("error", "status", "errcode"),
    [
        (errors.Unrecognized(), 404, "M_UNRECOGNIZED"),
        (errors.MethodNotAllowed(), 405, "M_UNRECOGNIZED"),
        (errors.MissingToken(), 401, "M_MISSING_TOKEN"),
        (errors.UnknownToken(), 401, "M_UNKNOWN_TOKEN"),
        (errors.Forbidden(), 403, "M_FORBIDDEN"),
        (errors.AuthRejected("6", "no"), 403, "M_FORBIDDEN"),
        (errors.NotFound(), 404, "M_NOT_FOUND"),
        (errors.BadJson(), 400, "M_BAD_JSON"),
        (errors.NotJson(), 400, "M_NOT_JSON"),
        (errors.InvalidParam(), 400, "M_INVALID_PARAM"),
        (errors.MissingParam(), 400, "M_MISSING_PARAM"),
        (errors.TooLarge(), 413, "M_TOO_LARGE"),
        (errors.UserInUse(), 400, "M_USER_IN_USE"),
        (errors.InvalidUsername(), 400, "M_INVALID_USERNAME"),
        (errors.RoomInUse(), 400, "M_ROOM_IN_USE"),
        (errors.UnsupportedRoomVersion(), 400, "M_UNSUPPORTED_ROOM_VERSION"),
        (errors.WeakPassword(), 400, "M_WEAK_PASSWORD"),
        (errors.UserDeactivated(), 403, "M_USER_DEACTIVATED"),
        (errors.ThreepidAuthFailed(), 403, "M_THREEPID_AUTH_FAILED"),
        (errors.ThreepidInUse(), 400, "M_THREEPID_IN_USE"),
        (errors.ServerNotTrusted(), 400, "M_SERVER_NOT_TRUSTED"),
        (errors.ThreepidMediumNotSupported(), 400, "M_THREEPID_MEDIUM_NOT_SUPPORTED"),
        (errors.UserLocked(), 401, "M_USER_LOCKED"),
        (errors.UserSuspended(), 403, "M_USER_SUSPENDED"),
        (errors.GuestAccessForbidden(), 403, "M_GUEST_ACCESS_FORBIDDEN"),
        (errors.CannotLeaveServerNoticeRoom(), 403, "M_CANNOT_LEAVE_SERVER_NOTICE_ROOM"),
        (errors.Unavailable(), 503, "M_UNKNOWN"),
    ],
)
def test_fixed_answers(error: errors.MatrixError, status: int, errcode: str) -> None:
    assert error.status == status
    assert error.body()["errcode"] == errcode
    assert error.body()["error"] == error.message != ""


def test_extra_members_go_into_the_body_but_do_not_replace_it() -> None:
    error = errors.MatrixError(400, "M_X", "why", {"more": 1, "errcode": "M_Y"})
    assert error.body() == {"errcode": "M_X", "error": "why", "more": 1}


def test_rate_limit_tells_when_in_body_and_header_rounded_up() -> None:
    error = errors.LimitExceeded(1001)
    assert error.body()["retry_after_ms"] == 1001
    assert error.headers == {"Retry-After": "2"}


def test_soft_logout_and_room_version_are_told() -> None:
    assert errors.UnknownToken(soft_logout=True).body()["soft_logout"] is True
    assert errors.IncompatibleRoomVersion("99").body()["room_version"] == "99"


def test_what_a_remote_did_is_not_an_answer_but_can_become_one() -> None:
    fault = errors.BadSignature("wrong")
    assert not isinstance(fault, errors.MatrixError)
    assert isinstance(fault, errors.RemoteFault)
    assert fault.to_matrix().status == 403
