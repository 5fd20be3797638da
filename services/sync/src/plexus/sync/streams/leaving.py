"""What somebody is told of a room that they are not in any more.

- Who was in it when the client last synced is told what happened until they left.
- Who came later, or of whom it is not known any more where their client stands, gets the room as at an
initial
  sync, as it was when they left.
- Who has left and is then banned, or unbanned, between two syncs is told the last of it, with a gap before:
  the room's state in between is not theirs to see.
- Who was never in the room (they declined an invite) is told the fact only.

It is judged by the intervals of membership, so that a replica that has just begun says the same as any other.

Client-Server API, "Syncing"; "Room History Visibility".
"""

from __future__ import annotations

from dataclasses import dataclass

from plexus.rooms import Viewer


@dataclass(frozen=True, slots=True)
class Leaving:
    """The range after < ordinal <= upto to be told; with the whole state if ``after`` is None. ``has_gap``:
    the timeline does not continue what the client has. ``members_at`` is the ordinal at which those were
    members with whom the room was shared; None if it was with nobody that the client knows of.
    """

    after: int | None
    upto: int
    has_gap: bool = False
    members_at: int | None = None


def was_joined(eyes: Viewer, ordinal: int) -> bool:
    """Whether the user was in the room after the event of an ordinal."""
    return any(one.membership == "join" and one.start <= ordinal < one.end for one in eyes.memberships)


def archived(eyes: Viewer, ordinal: int) -> Leaving:
    """For an initial sync; ``ordinal`` is that of the membership now."""
    last = _last_join(eyes, ordinal)
    return Leaving(ordinal - 1, ordinal) if last is None else Leaving(None, last[1])


def left(eyes: Viewer, ordinal: int, stands: int | None) -> Leaving:
    """For a client that has the room up to the ordinal where it ``stands``; None if that is not known."""
    last = _last_join(eyes, ordinal)
    if last is None:
        return Leaving(ordinal - 1, ordinal)
    start, end = last
    if end == ordinal:
        if stands is not None and start <= stands < end:
            return Leaving(stands, ordinal, members_at=ordinal)
        return Leaving(None, ordinal, has_gap=True, members_at=ordinal)
    if stands is None or was_joined(eyes, stands):
        return Leaving(ordinal - 1, ordinal, has_gap=True, members_at=end if stands is None else stands)
    return Leaving(ordinal - 1, ordinal)


def _last_join(eyes: Viewer, ordinal: int) -> tuple[int, int] | None:
    """From where and to where the user was last in the room, at the latest up to an ordinal."""
    joins = [
        (one.start, one.end) for one in eyes.memberships if one.membership == "join" and one.end <= ordinal
    ]
    return None if not joins or eyes.forgotten else joins[-1]
