"""What a process does every now and then it does together.

Waking a process that sleeps costs several times what it then does, for its caches are cold. A dozen loops
that look at something once a second, each at a moment of its own, wake it a dozen times; on the beat they
wake it once. Processes have beats of their own, so that replicas do not all ask at the same moment.
"""

from __future__ import annotations

import random
import time

BEAT_SECONDS = 0.5
"""Every second beat is that of what takes a second or longer."""
_EARLY_SECONDS = 0.05
_PHASE = random.random() * 2 * BEAT_SECONDS


def on_the_beat(seconds: float) -> float:
    """How long to sleep in place of ``seconds``: until the last beat before they end.

    Less than a beat stays as it is.
    """
    if seconds < BEAT_SECONDS:
        return seconds
    beat = BEAT_SECONDS if seconds < 2 * BEAT_SECONDS else 2 * BEAT_SECONDS
    now = time.monotonic()
    pause = (now + seconds - _PHASE) // beat * beat + _PHASE - now
    # Whoever woke a little before a beat has had it.
    return pause if pause > _EARLY_SECONDS else pause + beat
