"""What a process does every now and then it does together.

Waking a process that sleeps costs several times what it then does, for its caches are cold. A dozen loops
that look at something once a second, each at a moment of its own, wake it a dozen times; on the beat they
wake it once, all of them in one turn of the event loop, so that what they ask PostgreSQL goes out together.
Processes have beats of their own, so that replicas do not all ask at the same moment.

Beats lie on whole milliseconds of the monotonic clock: an event loop counts in those, so two loops that sleep
until one beat are woken in different turns if either's pause has a fraction of its own.
"""

from __future__ import annotations

import math
import random
import time

BEAT_SECONDS = 0.5
"""Every second beat is that of what takes a second or longer."""
_EARLY_MS = 50
_PHASE_MS = random.randrange(1000)


def on_the_beat(seconds: float) -> float:
    """How long to sleep in place of ``seconds``: until the last beat before they end.

    Less than a beat stays as it is.
    """
    return seconds if seconds < BEAT_SECONDS else until(next_beat(seconds))


def next_beat(seconds: float, *, aligned: bool = False) -> float:
    """The beat at which `on_the_beat` ends, as a moment of the monotonic clock. ``aligned``: the same one for
    all who ask with the same whole number of seconds, whenever they do.
    """
    if seconds < BEAT_SECONDS:
        return time.monotonic() + seconds
    beat = round(BEAT_SECONDS * 1000) if seconds < 1 else 1000 * (int(seconds) if aligned else 1)
    now = _now_ms()
    at = (now + round(seconds * 1000) - _PHASE_MS) // beat * beat + _PHASE_MS
    # Whoever woke a little before a beat has had it.
    return (at if at > now + _EARLY_MS else at + beat) / 1000


def until(moment: float) -> float:
    """How long to sleep until a moment of the monotonic clock: the same turn for all who wait for it."""
    # A beat is a whole number of milliseconds but for the last bits of a float.
    return max(0, math.ceil(moment * 1000 - 0.001) - _now_ms()) / 1000


def _now_ms() -> int:
    return int(time.monotonic() * 1000)
