"""What a fact can be. Numbers as in ``proto/plexus/proto/lanes/v1/kinds.proto``; they never change."""

from __future__ import annotations

from enum import IntEnum

ROOM = "r"
USER = "u"
FAMILIES = (ROOM, USER)


class RoomFact(IntEnum):
    """Facts of a room lane; the subject is the room id."""

    EVENTS = 1
    """Events with the ordinals ``lo`` to ``hi``, both included, entered the timeline. With any ``data`` the
    room has forked: the current state has changed otherwise than by each of them taking force in its turn.
    """
    REDACTED = 2
    """The event with the room-scoped number ``lo`` lost its content."""
    RECEIPT = 3
    """Receipts of the room changed. With any ``data`` they are all private, and it is the IDs of their users,
    separated by spaces: nobody else is concerned.
    """
    PURGE = 4
    """History of the room up to ordinal ``hi`` is gone."""
    UNPARTIAL = 5
    """The room's state is whole now (partial-state join)."""


class UserFact(IntEnum):
    """Facts of a user lane; the subject is the user id."""

    ACCOUNT_DATA = 1
    """``data`` is the room id, or empty for global account data."""
    PUSH_RULES = 2
    DEVICE_LIST = 3
    """Devices, device keys or cross-signing keys of the user changed."""
    TO_DEVICE = 4
    PROFILE = 5
    REVOKED = 6
    """Access tokens of the device in ``data`` are void, of all devices if it is empty, or give other rights
    than before: who remembers them asks again."""
    INVITE = 7
    """An invite or knock from afar came or went."""
    KEY_COUNTS = 8
    """The number of one-time or fallback keys of the device in ``data`` changed."""
    DEACTIVATED = 9
    THREAD_SUBSCRIPTION = 10
    """The user follows the thread of the root in ``data``, or follows it no more."""
