"""The events that make a room, in the spec's order. Pure.

1. m.room.create
2. the creator's m.room.member
3. m.room.power_levels, with ``power_level_content_override`` on top
4. m.room.canonical_alias
5. what the preset sets, unless ``initial_state`` sets it
6. ``initial_state`` in its order, without what ``name`` and ``topic`` set
7. m.room.name and m.room.topic
8. the invites

Client-Server API, "Creation".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from plexus.client_api.creation.models import CreateRoom, Preset
from plexus.protocol.errors import BadJson
from plexus.protocol.identifiers import is_user_id
from plexus.protocol.room_versions import RoomVersion
from plexus.rooms import NewEvent


@dataclass(frozen=True, slots=True)
class _PresetState:
    join_rule: str
    history_visibility: str
    guest_access: str
    invite_level: int
    """Below ``state_default``, so that members of a private room may bring others, as clients expect."""


_PRESETS: Mapping[Preset, _PresetState] = {
    "private_chat": _PresetState("invite", "shared", "can_join", 0),
    "trusted_private_chat": _PresetState("invite", "shared", "can_join", 0),
    "public_chat": _PresetState("public", "shared", "forbidden", 50),
}


@dataclass(frozen=True, slots=True)
class Participant:
    """A user with the content of the member event that brings them in."""

    user_id: str
    content: Mapping[str, Any]


def creation_events(
    request: CreateRoom,
    version: RoomVersion,
    creator: Participant,
    invitees: Sequence[Participant],
    alias: str | None,
) -> list[NewEvent]:
    """All events of the new room; `BadJson` if ``creation_content`` cannot be one of this room version."""
    preset = preset_of(request)
    invited = [invitee.user_id for invitee in invitees]
    trusted = invited if preset == "trusted_private_chat" else []
    events = [
        _state("m.room.create", create_content(request, version, creator.user_id, trusted)),
        NewEvent("m.room.member", creator.content, state_key=creator.user_id),
        _state("m.room.power_levels", power_levels(request, version, creator.user_id, trusted)),
    ]
    if alias is not None:
        events.append(_state("m.room.canonical_alias", {"alias": alias}))
    given = [NewEvent(event.type, event.content, event.state_key) for event in request.initial_state or ()]
    keys = {(event.type, event.state_key) for event in given}
    events += [event for event in _preset_events(preset) if (event.type, event.state_key) not in keys]
    implied = _implied_events(request)
    overridden = {(event.type, event.state_key) for event in implied}
    events += [event for event in given if (event.type, event.state_key) not in overridden]
    events += implied
    events += [NewEvent("m.room.member", invitee.content, invitee.user_id) for invitee in invitees]
    return events


def preset_of(request: CreateRoom) -> Preset:
    """The preset, or the one that ``visibility`` stands for."""
    if request.preset is not None:
        return request.preset
    return "public_chat" if request.visibility == "public" else "private_chat"


def create_content(
    request: CreateRoom, version: RoomVersion, creator: str, trusted: Sequence[str]
) -> dict[str, Any]:
    """The content of m.room.create. The keys that are the server's to set are dropped or overwritten."""
    content = dict(request.creation_content or {})
    content.pop("room_version", None)
    content.pop("creator", None)
    if not isinstance(content.get("m.federate", True), bool):
        raise BadJson("creation_content.m.federate must be true or false")
    if version.auth.create_needs_creator:
        content["creator"] = creator
    if version.auth.additional_creators:
        additional = content.get("additional_creators", [])
        if not isinstance(additional, list) or not all(is_user_id(user) for user in additional):
            raise BadJson("creation_content.additional_creators must be a list of user IDs")
        together = [user for user in dict.fromkeys([*additional, *trusted]) if user != creator]
        if together:
            content["additional_creators"] = together
    return content


def power_levels(
    request: CreateRoom, version: RoomVersion, creator: str, trusted: Sequence[str]
) -> dict[str, Any]:
    """The content of m.room.power_levels.

    Where creators stand above all numbers they may not be listed, and m.room.tombstone is explicitly higher
    than everything else, so that only they upgrade the room.
    """
    infinite = version.auth.creators_have_infinite_power
    users = {} if infinite else dict.fromkeys([creator, *trusted], 100)
    content: dict[str, Any] = {
        "users": users,
        "users_default": 0,
        "events": {
            "m.room.avatar": 50,
            "m.room.canonical_alias": 50,
            "m.room.encryption": 100,
            "m.room.history_visibility": 100,
            "m.room.name": 50,
            "m.room.power_levels": 100,
            "m.room.server_acl": 100,
            "m.room.tombstone": 150 if infinite else 100,
        },
        "events_default": 0,
        "state_default": 50,
        "ban": 50,
        "kick": 50,
        "redact": 50,
        "invite": _PRESETS[preset_of(request)].invite_level,
    }
    content.update(request.power_level_content_override or {})
    return content


def _preset_events(preset: Preset) -> list[NewEvent]:
    state = _PRESETS[preset]
    return [
        _state("m.room.join_rules", {"join_rule": state.join_rule}),
        _state("m.room.history_visibility", {"history_visibility": state.history_visibility}),
        _state("m.room.guest_access", {"guest_access": state.guest_access}),
    ]


def _implied_events(request: CreateRoom) -> list[NewEvent]:
    events = []
    if request.name is not None:
        events.append(_state("m.room.name", {"name": request.name}))
    if request.topic is not None:
        # "m.room.topic" with a text/plain mimetype: the plain text, and the same as extensible text.
        topic = {"m.text": [{"body": request.topic}]}
        events.append(_state("m.room.topic", {"topic": request.topic, "m.topic": topic}))
    return events


def _state(type: str, content: Mapping[str, Any]) -> NewEvent:
    return NewEvent(type, content, state_key="")
