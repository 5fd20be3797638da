"""The events of a new room, in the spec's order. Client-Server API, ``createRoom``."""

from typing import Any

import pytest
from plexus.client_api.creation.models import CreateRoom
from plexus.client_api.creation.presets import Participant, creation_events
from plexus.protocol import room_versions
from plexus.protocol.errors import BadJson
from plexus.rooms import NewEvent

ALICE, BOB, CAROL = "@alice:x.org", "@bob:x.org", "@carol:x.org"


def events_of(version: str = "12", alias: str | None = None, **body: Any) -> list[NewEvent]:
    request = CreateRoom.model_validate(body)
    invitees = [Participant(user, {"membership": "invite"}) for user in dict.fromkeys(request.invite or ())]
    creator = Participant(ALICE, {"membership": "join"})
    return creation_events(request, room_versions.get(version), creator, invitees, alias)


def content_of(events: list[NewEvent], type: str, state_key: str = "") -> Any:
    (found,) = [event.content for event in events if (event.type, event.state_key) == (type, state_key)]
    return found


def test_the_order_is_the_spec_s() -> None:
    events = events_of(
        alias="#a:x.org",
        name="N",
        topic="T",
        invite=[BOB],
        initial_state=[
            {"type": "org.x", "content": {"a": 1}, "state_key": "k"},
            {"type": "m.room.encryption", "content": {"algorithm": "m.megolm.v1.aes-sha2"}},
        ],
    )
    assert [(event.type, event.state_key) for event in events] == [
        ("m.room.create", ""),
        ("m.room.member", ALICE),
        ("m.room.power_levels", ""),
        ("m.room.canonical_alias", ""),
        ("m.room.join_rules", ""),
        ("m.room.history_visibility", ""),
        ("m.room.guest_access", ""),
        ("org.x", "k"),
        ("m.room.encryption", ""),
        ("m.room.name", ""),
        ("m.room.topic", ""),
        ("m.room.member", BOB),
    ]
    assert content_of(events, "m.room.canonical_alias") == {"alias": "#a:x.org"}


@pytest.mark.parametrize(
    ("body", "rules"),
    [
        ({}, ("invite", "shared", "can_join")),
        ({"visibility": "private"}, ("invite", "shared", "can_join")),
        ({"visibility": "public"}, ("public", "shared", "forbidden")),
        ({"visibility": "public", "preset": "private_chat"}, ("invite", "shared", "can_join")),
        ({"preset": "trusted_private_chat"}, ("invite", "shared", "can_join")),
        ({"preset": "public_chat"}, ("public", "shared", "forbidden")),
    ],
)
def test_presets(body: dict[str, Any], rules: tuple[str, str, str]) -> None:
    events = events_of(**body)
    assert (
        content_of(events, "m.room.join_rules")["join_rule"],
        content_of(events, "m.room.history_visibility")["history_visibility"],
        content_of(events, "m.room.guest_access")["guest_access"],
    ) == rules


def test_initial_state_goes_before_the_preset_and_behind_name_and_topic() -> None:
    events = events_of(
        name="right",
        topic="plain",
        initial_state=[
            {"type": "m.room.join_rules", "content": {"join_rule": "knock"}},
            {"type": "m.room.name", "content": {"name": "wrong"}},
            {"type": "m.room.name", "content": {"name": "keyed"}, "state_key": "other"},
            {"type": "m.room.topic", "content": {"topic": "wrong"}},
        ],
    )
    assert content_of(events, "m.room.join_rules") == {"join_rule": "knock"}
    assert content_of(events, "m.room.name") == {"name": "right"}
    assert content_of(events, "m.room.name", "other") == {"name": "keyed"}
    assert content_of(events, "m.room.topic") == {
        "topic": "plain",
        "m.topic": {"m.text": [{"body": "plain"}]},
    }


def test_power_levels_before_version_12_list_the_creator() -> None:
    levels = content_of(events_of("11"), "m.room.power_levels")
    assert levels["users"] == {ALICE: 100}
    assert levels["events"]["m.room.tombstone"] == 100
    assert levels["invite"] == 0
    assert content_of(events_of("11", preset="public_chat"), "m.room.power_levels")["invite"] == 50


def test_power_levels_of_version_12_do_not_list_creators_and_guard_the_tombstone() -> None:
    levels = content_of(events_of("12", preset="trusted_private_chat", invite=[BOB]), "m.room.power_levels")
    assert levels["users"] == {}
    assert levels["events"]["m.room.tombstone"] > levels["state_default"]


def test_a_trusted_chat_makes_everybody_the_creator_s_equal() -> None:
    older = events_of("10", preset="trusted_private_chat", invite=[BOB])
    assert content_of(older, "m.room.power_levels")["users"] == {ALICE: 100, BOB: 100}
    assert "additional_creators" not in content_of(older, "m.room.create")
    newer = events_of(
        "12",
        preset="trusted_private_chat",
        invite=[BOB, CAROL],
        creation_content={"additional_creators": [CAROL, "@d:y.org"]},
    )
    assert content_of(newer, "m.room.create")["additional_creators"] == [CAROL, "@d:y.org", BOB]
    private = events_of("12", preset="private_chat", invite=[BOB])
    assert "additional_creators" not in content_of(private, "m.room.create")


def test_the_override_is_applied_on_top() -> None:
    levels = content_of(
        events_of("11", power_level_content_override={"invite": 77, "events": {"m.room.name": 1}}),
        "m.room.power_levels",
    )
    assert levels["invite"] == 77
    assert levels["events"] == {"m.room.name": 1}
    assert levels["users"] == {ALICE: 100}


def test_the_server_s_keys_of_the_create_event_are_its_own() -> None:
    given = {"creator": BOB, "room_version": "1", "m.federate": False, "type": "m.space"}
    assert content_of(events_of("10", creation_content=given), "m.room.create") == {
        "m.federate": False,
        "type": "m.space",
        "creator": ALICE,
    }
    assert content_of(events_of("11", creation_content=given), "m.room.create") == {
        "m.federate": False,
        "type": "m.space",
    }


@pytest.mark.parametrize(
    "creation_content",
    [
        {"m.federate": "yes"},
        {"additional_creators": BOB},
        {"additional_creators": [1]},
        {"additional_creators": ["bob"]},
    ],
)
def test_creation_content_that_cannot_be_is_refused(creation_content: dict[str, Any]) -> None:
    with pytest.raises(BadJson):
        events_of("12", creation_content=creation_content)
