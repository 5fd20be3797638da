"""plexus.protocol.power_levels"""

from __future__ import annotations

from plexus.protocol import PowerLevels, get_room_version
from plexus.protocol.power_levels import INFINITE, read_lenient_level, read_level

ALICE, BOB = "@alice:one", "@bob:two"


def test_without_an_event_the_creator_has_100_or_infinity() -> None:
    for version, level in (("10", 100), ("11", 100), ("12", INFINITE)):
        power = PowerLevels(get_room_version(version), None, frozenset((ALICE,)))
        assert power.user_level(ALICE) == level
        assert power.user_level(BOB) == 0
        assert (power.invite, power.kick, power.ban, power.redact) == (0, 50, 50, 50)
        assert power.event_level("x", True) == 50
        assert power.event_level("x", False) == 0
        assert power.notification_level("room") == 50


def test_with_an_event_only_version_12_remembers_the_creator() -> None:
    for version, level in (("10", 3), ("11", 3), ("12", INFINITE)):
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


def test_levels_are_integers_and_in_old_versions_strings_of_them() -> None:
    assert read_level(5) == read_lenient_level(5) == read_lenient_level(" +5 ") == 5
    for value in ("5", 5.0, True, None, [5]):
        assert read_level(value) is None
    for value in ("x", 5.0, True, None, "1.5"):
        assert read_lenient_level(value) is None
