"""plexus.protocol.power_levels"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from plexus.protocol import PowerLevels, get_room_version
from plexus.protocol.power_levels import (
    INFINITE,
    LEVEL_READERS,
    read_float_level,
    read_level,
    read_string_level,
)

ALICE, BOB = "@alice:one", "@bob:two"


def test_without_an_event_the_creator_has_100_or_infinity() -> None:
    for version, level in (("1", 100), ("10", 100), ("11", 100), ("12", INFINITE)):
        power = PowerLevels(get_room_version(version), None, frozenset((ALICE,)))
        assert power.user_level(ALICE) == level
        assert power.user_level(BOB) == 0
        assert (power.invite, power.kick, power.ban, power.redact) == (0, 50, 50, 50)
        assert power.event_level("x", True) == 50
        assert power.event_level("x", False) == 0
        assert power.notification_level("room") == 50


def test_with_an_event_only_version_12_remembers_the_creator() -> None:
    for version, level in (("1", 3), ("10", 3), ("11", 3), ("12", INFINITE)):
        power = PowerLevels(get_room_version(version), {"users_default": 3}, frozenset((ALICE,)))
        assert power.user_level(ALICE) == level
        assert power.user_level(BOB) == 3


def test_what_is_written_wins_over_defaults() -> None:
    content = {
        "users": {BOB: 7},
        "events": {"a": 9},
        "state_default": 1,
        "events_default": 2,
        "invite": 4,
        "notifications": {"room": 5},
    }
    power = PowerLevels(get_room_version("11"), content, frozenset())
    assert power.user_level(BOB) == 7
    assert [power.event_level(name, True) for name in ("a", "b")] == [9, 1]
    assert power.event_level("b", False) == 2
    assert power.invite == 4
    assert power.notification_level("room") == 5
    assert power.can_send(BOB, "b", True)
    assert not power.can_send(BOB, "a", False)
    assert not power.can_redact(BOB)


@pytest.mark.parametrize(
    ("value", "level"),
    [
        ("100", 100),
        ("000100", 100),
        ("+100", 100),
        ("-100", -100),
        (" 100 ", 100),
        (" 00100 ", 100),
        (" +100 ", 100),
        (" -100 ", -100),
        ("\t\n100\r\n", 100),
        ("0", 0),
        ("", None),
        (" ", None),
        ("+", None),
        ("+-5", None),
        ("- 5", None),
        ("5.0", None),
        ("5e1", None),
        ("1_000", None),
        ("0x10", None),
        ("x", None),
        ("\u0663", None),
        ("9" * 5000, None),
    ],
)
def test_strings_hold_integers_up_to_version_9(value: str, level: int | None) -> None:
    assert read_level(value) is None
    assert read_string_level(value) == read_float_level(value) == level


@pytest.mark.parametrize(
    ("value", "level"),
    [
        (5.114698e4, 51146),
        (50.57, 50),
        (-50.57, -50),
        (0.9, 0),
        (1e300, int(1e300)),
        (float("inf"), None),
        (float("nan"), None),
    ],
)
def test_floats_lose_their_fraction_up_to_version_5(value: float, level: int | None) -> None:
    assert read_level(value) is read_string_level(value) is None
    assert read_float_level(value) == level


@pytest.mark.parametrize("read", LEVEL_READERS.values())
def test_integers_are_read_everywhere_and_other_values_nowhere(read: Callable[[object], int | None]) -> None:
    assert read(5) == 5
    values: list[object] = [True, None, [5], {}]
    for value in values:
        assert read(value) is None


def test_what_cannot_be_read_is_as_if_it_were_not_there() -> None:
    content = {"users": {ALICE: "60", BOB: "x"}, "users_default": "7", "ban": "high", "kick": 40.5}
    power = PowerLevels(get_room_version("5"), content, frozenset())
    assert [power.user_level(user) for user in (ALICE, BOB)] == [60, 7]
    assert (power.ban, power.kick) == (50, 40)
    assert PowerLevels(get_room_version("9"), content, frozenset()).kick == 50
    assert PowerLevels(get_room_version("10"), content, frozenset()).user_level(ALICE) == 0
