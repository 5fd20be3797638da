"""The beat: when it is, and that all who wait for it wake in one turn."""

from __future__ import annotations

import random
import time

import pytest
from plexus.platform import beat
from plexus.platform.beat import BEAT_SECONDS, next_beat, on_the_beat, until


def test_what_begins_at_any_moment_ends_on_the_beat(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    rng = random.Random(1)
    for _ in range(200):
        now = rng.uniform(0, 1_000_000)
        seconds = rng.choice([0.5, 0.6, 1.0, 2.0, 15.0])
        pause = on_the_beat(seconds)
        every = BEAT_SECONDS if seconds < 1 else 2 * BEAT_SECONDS
        assert max(0, seconds - every) < pause <= seconds + beat._EARLY_MS / 1000
        # The event loop counts from the millisecond that has begun.
        ends_ms = int(now * 1000) + round(pause * 1000)
        assert (ends_ms - beat._PHASE_MS) % round(every * 1000) == 0


@pytest.mark.parametrize("off", [0.003, -0.003])
def test_periods_are_kept(monkeypatch: pytest.MonkeyPatch, off: float) -> None:
    """Who sleeps on from where it woke, a little late or early each time, wakes once a period."""
    now = 12_345.678
    monkeypatch.setattr(time, "monotonic", lambda: now)
    began = now
    for _ in range(100):
        now += on_the_beat(1.0) + off
    assert now - began == pytest.approx(100, abs=1)


def test_all_who_wait_for_a_beat_wake_in_one_millisecond(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 12_345.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    beat_at = next_beat(2.0)
    ends = set()
    while now < beat_at - 0.1:
        now += 0.000_7
        ends |= {int(now * 1000) + round(pause * 1000) for pause in (until(beat_at), on_the_beat(1.0))}
    assert ends <= {round(beat_at * 1000) - 1000, round(beat_at * 1000)}


def test_every_third_beat_is_the_same_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 12_345.678
    monkeypatch.setattr(time, "monotonic", lambda: now)
    moments = set()
    for _ in range(60):
        now += 0.1
        moments.add(round(next_beat(3.0, aligned=True) * 1000))
    first = min(moments)
    assert moments == {first, first + 3000, first + 6000} or moments == {first, first + 3000}


def test_what_is_over_is_not_waited_for() -> None:
    assert until(time.monotonic() - 1) == 0


def test_less_than_a_beat_stays_as_it_is() -> None:
    assert on_the_beat(0.2) == 0.2
    assert on_the_beat(0) == 0
