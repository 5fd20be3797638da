"""Which of a user's polls stay when one more comes.

A device asks again when it believes its connection lost, and nobody reads the older poll any more. So a newer
sync of a device ends its older one with the same filter, at once and with an empty answer. Two clients that
share a token by mistake would so end each other without end: it is done once a second, and between that a
device may have ``sync.polls_per_device``. Polls with different filters stay beside each other, up to that
number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from plexus.platform.settings import SyncSettings

if TYPE_CHECKING:
    from plexus.sync.replica.polls import Poll
    from plexus.sync.replica.views import UserView

SUPERSEDING_SECONDS = 1.0


def make_room(view: UserView, poll: Poll, settings: SyncSettings, now: float) -> None:
    """Supersede what has to end for this poll, or the poll itself if it is an older request than one held."""
    standing = [other for other in view.polls if not other.superseded]
    if not standing:
        return
    mine = [other for other in standing if other.device_id == poll.device_id]
    if poll.device_id is not None and mine:
        device = view.device(poll.device_id)
        same = [other for other in mine if other.kind == poll.kind]
        if same and now - device.superseded_at >= SUPERSEDING_SECONDS:
            device.superseded_at = now
            if same[-1].arrival > poll.arrival:
                poll.supersede()
                return
            for other in same:
                other.supersede()
        elif len(mine) >= settings.polls_per_device:
            mine[0].supersede()
    if sum(not other.superseded for other in standing) >= settings.polls_per_user:
        next(other for other in standing if not other.superseded).supersede()
