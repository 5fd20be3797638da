"""plexus.protocol.room_versions"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable

import pytest
from plexus.protocol import DEFAULT_ROOM_VERSION, ROOM_VERSIONS, RoomVersion, get_room_version
from plexus.protocol.errors import UnsupportedRoomVersion

CHANGES = {
    "2": {"state_resolution"},
    "3": {"event_ids", "references_with_hashes", "auth.numbers", "auth.own_rules"},
    "4": {"event_ids"},
    "5": {"enforce_signing_key_validity"},
    "6": {
        "redaction.content",
        "auth.numbers",
        "auth.own_rules",
        "auth.level_values",
        "auth.guarded_entries",
        "strict_canonical_json",
        "max_integer",
    },
    "7": {"auth.numbers", "auth.invite_join_rules", "auth.knock_join_rules"},
    "8": {"redaction.content", "auth.numbers", "auth.restricted_join_rules"},
    "9": {"redaction.content"},
    "10": {
        "auth.numbers",
        "auth.level_values",
        "auth.checks_all_levels",
        "auth.restricted_join_rules",
        "auth.knock_join_rules",
    },
    "11": {
        "redacts_in_content",
        "redaction.top_level",
        "redaction.content",
        "redaction.nested",
        "auth.numbers",
        "auth.create_needs_creator",
    },
    "12": {
        "room_id_is_create_event_hash",
        "auth.numbers",
        "auth.create_in_auth_events",
        "auth.additional_creators",
        "auth.creators_have_infinite_power",
        "state_resolution",
    },
}
"""What each version changes of the one before, by the first paragraphs of its page."""


def differences(one: object, other: object, under: str = "") -> set[str]:
    found: set[str] = set()
    for field in dataclasses.fields(one):  # type: ignore[arg-type]  # a RoomVersion or a part of one
        before, after = getattr(one, field.name), getattr(other, field.name)
        if dataclasses.is_dataclass(before):
            found |= differences(before, after, field.name + ".")
        elif before != after:
            found.add(under + field.name)
    return found


def test_versions_known() -> None:
    assert list(ROOM_VERSIONS) == [str(number) for number in range(1, 13)]
    assert all(version.identifier == name for name, version in ROOM_VERSIONS.items())
    assert DEFAULT_ROOM_VERSION == "12"
    for unknown in ("0", "13", "", "org.example", "01"):
        with pytest.raises(UnsupportedRoomVersion):
            get_room_version(unknown)


@pytest.mark.parametrize(("older", "newer"), list(itertools.pairwise(ROOM_VERSIONS)))
def test_each_version_changes_what_its_page_says(older: str, newer: str) -> None:
    changed = differences(get_room_version(older), get_room_version(newer))
    assert changed - {"identifier"} == CHANGES[newer]


FEATURES: dict[str, tuple[Callable[[RoomVersion], bool], range]] = {
    # name: (the property, the versions that have it)
    "knocking": (lambda version: bool(version.auth.knock_join_rules), range(7, 13)),
    "restricted join rules": (
        lambda version: "restricted" in version.auth.restricted_join_rules,
        range(8, 13),
    ),
    "knock_restricted": (lambda version: "knock_restricted" in version.auth.knock_join_rules, range(10, 13)),
}


@pytest.mark.parametrize("feature", FEATURES)
def test_the_feature_matrix(feature: str) -> None:
    has, numbers = FEATURES[feature]
    assert [name for name, version in ROOM_VERSIONS.items() if has(version)] == [str(n) for n in numbers]
