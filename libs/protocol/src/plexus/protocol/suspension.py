"""What a suspended user may do.

The specification leaves it to the server and names what it should permit at least. So this is a list of what
is permitted, by ``operationId``: what is not on it is refused, also when it is built later. Reading is
permitted as a whole.

Client-Server API, "Account suspension".
"""

from __future__ import annotations

from typing import Final

_READING: Final = frozenset({"GET", "HEAD"})

PERMITTED: Final = frozenset(
    {
        # See and receive messages, and what goes with it: these read, or are told to nobody but the user.
        "defineFilter",
        "postReceipt",
        "queryPublicRooms",
        "search",
        "searchUserDirectory",
        "setAccountData",
        "setAccountDataPerRoom",
        "deleteRoomTag",
        "setRoomTag",
        "setReadMarker",
        "postPusher",
        "deletePushRule",
        "setPushRule",
        "setPushRuleActions",
        "setPushRuleEnabled",
        # Join the room of server notices, in which they may be told why: the endpoint judges which it is.
        "joinRoom",
        "joinRoomById",
        # Verify other devices, and write cross-signing data.
        "claimKeys",
        "queryKeys",
        "sendToDevice",
        "uploadCrossSigningKeys",
        "uploadCrossSigningSignatures",
        "uploadKeys",
        # Populate the key backup.
        "deleteRoomKeyBySessionId",
        "deleteRoomKeys",
        "deleteRoomKeysByRoomId",
        "deleteRoomKeysVersion",
        "postRoomKeysVersion",
        "putRoomKeyBySessionId",
        "putRoomKeys",
        "putRoomKeysByRoomId",
        "putRoomKeysVersion",
        # Leave rooms and reject invites.
        "forgetRoom",
        "leaveRoom",
        # Redact their own events: whose event it is, the endpoint judges.
        "redactEvent",
        "sendMessage",
        # Log in and create additional sessions.
        "generateLoginToken",
        # Log out and delete devices; close the account, or take it back from who knows the password.
        "changePassword",
        "deactivateAccount",
        "deleteDevice",
        "deleteDevices",
        "logout",
        "logout_all",
        # Change or add admin contacts, but not remove them.
        "add3PID",
        "post3PIDs",
    }
)
"""Operations that write and are permitted all the same. Some judge themselves: `redactEvent` and
`sendMessage` permit redactions of one's own events only, `joinRoom` and `joinRoomById` one room."""


def is_permitted(method: str, operation_id: str | None) -> bool:
    """Whether a suspended user may call the operation."""
    return method in _READING or operation_id in PERMITTED
