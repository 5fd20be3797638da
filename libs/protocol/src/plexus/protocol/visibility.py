"""May a user see an event?

The decision needs what was true at the event (history visibility and membership), and whether the user joined
afterwards. Looking those up is the caller's.

Client-Server API, "Room History Visibility", "Server behaviour".
"""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

HistoryVisibility: TypeAlias = Literal["world_readable", "shared", "invited", "joined"]

DEFAULT_HISTORY_VISIBILITY: HistoryVisibility = "shared"

_KNOWN: dict[object, HistoryVisibility] = {value: value for value in get_args(HistoryVisibility)}


def history_visibility_of(content: object) -> HistoryVisibility:
    """The visibility set by the content of m.room.history_visibility; the default if absent or not
    understood.
    """
    value = content.get("history_visibility") if isinstance(content, dict) else None
    return (
        _KNOWN.get(value, DEFAULT_HISTORY_VISIBILITY)
        if isinstance(value, str)
        else DEFAULT_HISTORY_VISIBILITY
    )


def may_see(visibility: HistoryVisibility, membership: str | None, *, joined_later: bool) -> bool:
    """Whether a user may see an event.

    ``visibility`` and ``membership`` are those at the event (None: never a member), ``joined_later`` says
    whether the user joined at any point after it.
    """
    return (
        visibility == "world_readable"
        or membership == "join"
        or (visibility == "shared" and joined_later)
        or (visibility == "invited" and membership == "invite")
    )


def may_see_visibility_change(
    before: HistoryVisibility, after: HistoryVisibility, membership: str | None, *, joined_later: bool
) -> bool:
    """The same for an m.room.history_visibility event: what it replaces or what it sets must allow it."""
    return may_see(before, membership, joined_later=joined_later) or may_see(
        after, membership, joined_later=joined_later
    )


def may_see_own_membership(
    visibility: HistoryVisibility, before: str | None, after: str | None, *, joined_later: bool
) -> bool:
    """The same for the user's own m.room.member event: the membership before or after it must allow it.

    Being told of one's own invitation, ban or removal does not go through here: /sync sends those by
    themselves.
    """
    return may_see(visibility, before, joined_later=joined_later) or may_see(
        visibility, after, joined_later=joined_later
    )
