"""Moments: the order of ephemeral changes, as one replica has heard them.

Typing and presence stand in no log. A replica numbers the changes as it hears them, by its clock: a moment is
the time in milliseconds, or one more than the moment before. A token carries the last moment that its holder
was told up to, and the epoch of the replica that said so.

- From the same replica the comparison is exact.
- From another one it nearly is: both heard the same changes within a short time of one another. What was
  heard within `APART_SECONDS` before is told again; the events replace what they said before, so that harms
  nobody.
- Moments go on from those in the tokens that a replica is shown, so a client that changes between replicas is
  not told everything each time.
- A token from before this replica began to listen says nothing: then all is told anew.
"""

from __future__ import annotations

import secrets

from plexus.platform.clock import Clock

APART_SECONDS = 1.0
_MOST_AHEAD_MS = 60_000
"""A token that is from further in the future than clocks differ is none of ours."""


class Moments:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.epoch = secrets.randbits(31) | 1
        self.now = self.began = clock.now_ms()

    def next(self) -> int:
        """The moment of a change heard now."""
        self.now = max(self.now + 1, self._clock.now_ms())
        return self.now

    def see(self, moment: int) -> bool:
        """Go on from a moment of another replica; whether that changes anything."""
        if not self.now < moment <= self._clock.now_ms() + _MOST_AHEAD_MS:
            return False
        self.now = moment
        return True

    def knows(self, moment: int) -> bool:
        """Whether everything after this moment, of whichever replica, was heard here."""
        return self.began <= moment <= self.now
