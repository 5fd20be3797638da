"""How what a user has not read of a room changes with each of its events, and with their receipts."""

from __future__ import annotations

from plexus.rooms import MAIN_THREAD, Counts, Noted, Unread
from plexus.sync.events import SyncEvent

_NOTHING = Counts(0, 0)


def add_event(unread: Unread, event: SyncEvent, noted: Noted, user_id: str) -> bool:
    """Take the next event; False if it cannot be told here what it changes."""
    notifications, highlights = int(noted.notifies), 0
    for subject in ("", user_id):
        more = noted.notices.get(subject)
        if more is not None:
            notifications += more[0]
            highlights += more[1]
    # A membership is also written when a profile changes: that is no sign of having read.
    is_own = event.sender == user_id and not event.is_member
    if is_own and event.txn_id is None:
        # Who sends has read, but this may have come from elsewhere, as after a restore: the database knows.
        return False
    if noted.relates and (is_own or notifications or highlights):
        # The thread is that of another event.
        return False
    if is_own:
        _clear(unread, noted.thread)
    elif event.sender != user_id and (notifications or highlights):
        if noted.thread is None:
            unread.main = unread.main.plus(notifications, highlights)
        else:
            counts = unread.threads.get(noted.thread, _NOTHING)
            unread.threads[noted.thread] = counts.plus(notifications, highlights)
    unread.ordinal = event.ordinal
    unread.newest = event.event_id
    return True


def read_newest(unread: Unread, thread: str | None) -> None:
    """Take a receipt of the user for the newest event: of a thread, or for all of the room."""
    if thread is None:
        unread.threads.clear()
    _clear(unread, None if thread in (None, MAIN_THREAD) else thread)


def _clear(unread: Unread, root: str | None) -> None:
    if root is None:
        unread.main = _NOTHING
    else:
        unread.threads.pop(root, None)
