"""plexus.protocol.room_versions"""

from __future__ import annotations

import dataclasses

import pytest
from plexus.protocol import DEFAULT_ROOM_VERSION, ROOM_VERSIONS, RoomVersion, get_room_version
from plexus.protocol.errors import UnsupportedRoomVersion


def differences(older: str, newer: str) -> set[str]:
    one, other = get_room_version(older), get_room_version(newer)
    return {
        field.name
        for field in dataclasses.fields(RoomVersion)
        if getattr(one, field.name) != getattr(other, field.name)
    }


def test_versions_known() -> None:
    assert set(ROOM_VERSIONS) == {"10", "11", "12"}
    assert DEFAULT_ROOM_VERSION == "12"
    for unknown in ("1", "13", "", "org.example"):
        with pytest.raises(UnsupportedRoomVersion):
            get_room_version(unknown)


def test_each_version_changes_what_its_page_says() -> None:
    assert differences("10", "11") == {
        "identifier",
        "event_format",
        "redacts_in_content",
        "redaction",
        "auth",
    }
    assert differences("11", "12") == {
        "identifier",
        "event_format",
        "room_id_is_create_event_hash",
        "auth",
        "state_resolution",
    }
