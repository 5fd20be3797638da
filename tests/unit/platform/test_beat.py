"""`on_the_beat`."""

from __future__ import annotations

import random
import time

import pytest
from plexus.platform import beat
from plexus.platform.beat import BEAT_SECONDS, on_the_beat


def test_what_begins_at_any_moment_ends_on_the_beat(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    rng = random.Random(1)
    for _ in range(200):
        now = rng.uniform(0, 1_000_000)
        seconds = rng.choice([0.5, 0.6, 1.0, 2.0, 15.0])
        pause = on_the_beat(seconds)
        every = BEAT_SECONDS if seconds < 1 else 2 * BEAT_SECONDS
        assert max(0, seconds - every) < pause <= seconds + beat._EARLY_SECONDS
        beats = (now + pause - beat._PHASE) / every
        assert beats == pytest.approx(round(beats), abs=1e-4)


@pytest.mark.parametrize("off", [0.003, -0.003])
def test_periods_are_kept(monkeypatch: pytest.MonkeyPatch, off: float) -> None:
    """Who sleeps on from where it woke, a little late or early each time, wakes once a period."""
    now = 12_345.678
    monkeypatch.setattr(time, "monotonic", lambda: now)
    began = now
    for _ in range(100):
        now += on_the_beat(1.0) + off
    assert now - began == pytest.approx(100, abs=1)


def test_less_than_a_beat_stays_as_it_is() -> None:
    assert on_the_beat(0.2) == 0.2
    assert on_the_beat(0) == 0
