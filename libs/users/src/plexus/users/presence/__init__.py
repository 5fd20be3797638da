"""Presence: who is there, kept in the memory of every process that asks, and in no database.

1. A device is *leased*: each sync and each request to set the presence says that it is there for a while
   longer, and in which state (``book``). When nobody says so any more, its lease ends and it is gone.
2. A user is as present as the most present of their devices; ``online`` becomes ``unavailable`` when they
   have done nothing for some minutes.
3. Processes tell one another on a channel of the ephemeral port (``exchange``): what is new at once, a lease
   that goes on once a minute, all in batches. One that begins asks the others, and reads from the devices who
   was there shortly before: they are taken to be there until they have had time to come again. So a restart
   changes nobody's presence. A device that asks to be hidden, by ``offline``, is marked in its row when it
   begins to and when it ceases to, with the next write of when devices were used. It is not taken to be
   there.
4. Who is told only of changes watches: sync.

What is lost with all processes and Redis: status messages, and when somebody was last active.

Client-Server API, "Presence".
"""

from plexus.users.presence.book import (
    OFFLINE,
    ONLINE,
    STATE_NAMES,
    STATES,
    UNAVAILABLE,
    PresenceBook,
    Shown,
)
from plexus.users.presence.exchange import Presence

__all__ = ["OFFLINE", "ONLINE", "STATES", "STATE_NAMES", "UNAVAILABLE", "Presence", "PresenceBook", "Shown"]
