"""What a process does every now and then it does together.

Waking a process that sleeps costs several times what it then does, for its caches are cold. A dozen loops
that look at something once a second, each at a moment of its own, wake it a dozen times; on the beat they
wake it once. Processes have beats of their own, so that replicas do not all ask at the same moment.
"""

from __future__ import annotations

import random
import time

BEAT_SECONDS = 0.5
_PHASE = random.random() * BEAT_SECONDS


def on_the_beat(seconds: float) -> float:
    """How long to sleep in place of ``seconds``: until the beat that is nearest to their end.

    Less than a beat stays as it is.
    """
    if seconds < BEAT_SECONDS:
        return seconds
    now = time.monotonic()
    beats = round((now + seconds - _PHASE) / BEAT_SECONDS)
    return max(_PHASE + beats * BEAT_SECONDS - now, BEAT_SECONDS / 2)
