"""Moments: the order of ephemeral changes, as one replica has heard them.

Typing and presence stand in no log. A replica numbers the changes as it hears them, by its clock: a moment is
the time in milliseconds, or one more than the moment before. A token carries the last moment that its holder
was told up to, and the epoch of the replica that said so.

- From the same replica the comparison is exact.
- From another one it nearly is: both heard the same changes within a short time of one another, so what was
  heard within `APART_MS` before the token's moment is told again. The events replace what they said before,
  so that harms nobody. Who comes from another replica gets the time itself as a moment: so a client that goes
  to and fro is not told the same each time.
- A token from before this replica began to listen says nothing: then all is told anew.
"""

from __future__ import annotations

import secrets

from plexus.platform.clock import Clock

APART_MS = 1_000
_MOST_AHEAD_MS = 60_000
"""A token that is from further in the future than clocks differ is none of ours."""


class Moments:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.epoch = secrets.randbits(31) | 1
        self.now = self.began = clock.now_ms()

    def begin(self) -> None:
        """From now on everything is heard."""
        self.began = self.next()

    def next(self) -> int:
        """The moment of a change heard now."""
        self.now = max(self.now + 1, self._clock.now_ms())
        return self.now

    def meet(self, moment: int) -> None:
        """Somebody comes from another replica: go on from there, and from now."""
        now = self._clock.now_ms()
        self.now = max(self.now, now, moment if moment <= now + _MOST_AHEAD_MS else 0)

    def after(self, epoch: int, moment: int) -> int | None:
        """The moment after which everything is news to who has this token; None if nobody knows."""
        if epoch == self.epoch:
            return moment if moment <= self.now else None
        return moment - APART_MS if self.began <= moment - APART_MS and moment <= self.now else None
