"""Room versions as values.

A room version fixes the format of events, how they are redacted, hashed and named, who may send what, and how
state is resolved. Each is built from the one before plus what it changes, so reading a version's entry is
reading the first paragraph of its page in the specification. The rules never ask "is this version 11 or
later"; they look at the property that they need.

Versions 1 to 9 are not here yet: add them below version 10 and derive that one from them.

https://spec.matrix.org/latest/rooms/
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from plexus.protocol.errors import UnsupportedRoomVersion

EventFormat = Literal["v4", "v11", "v12"]
"""PDU formats by the room version that brought them: "v4" names events by hash, "v11" moves ``redacts`` into
the content, "v12" takes the room ID of the create event from its hash."""

StateResolution = Literal["v1", "v2", "v2.1"]


@dataclass(frozen=True, slots=True)
class RedactionRules:
    """What survives a redaction.

    ``content`` maps an event type to the keys of its content that stay; a missing type keeps none; None keeps
    all. ``nested`` does the same one level down: (type, key) to the keys that stay of that object, which is
    dropped if none of them is there.
    """

    top_level: frozenset[str]
    content: Mapping[str, frozenset[str] | None]
    nested: Mapping[tuple[str, str], frozenset[str]]


@dataclass(frozen=True, slots=True)
class AuthorisationRules:
    """Where the authorisation rules of the versions differ."""

    create_in_auth_events: bool
    """Whether m.room.create is selected for ``auth_events``; if not, the room ID implies it."""
    create_needs_creator: bool
    """Whether m.room.create must name a ``creator`` in its content, which then is the creator."""
    additional_creators: bool
    creators_have_infinite_power: bool
    integer_power_levels: bool
    """Whether power levels must be integers; if not, strings holding integers are read as such."""
    invite_join_rules: frozenset[str]
    """Join rules under which an invitation (or being joined) is what lets a user join."""
    restricted_join_rules: frozenset[str]
    """Join rules under which a member's authorisation lets a user join."""
    knock_join_rules: frozenset[str]


@dataclass(frozen=True, slots=True)
class RoomVersion:
    """One room version. Compare by identity or by ``identifier``."""

    identifier: str
    event_format: EventFormat
    redacts_in_content: bool
    """Whether m.room.redaction names its target in ``content.redacts`` instead of on the top level."""
    room_id_is_create_event_hash: bool
    redaction: RedactionRules
    auth: AuthorisationRules
    state_resolution: StateResolution
    strict_canonical_json: bool
    enforce_signing_key_validity: bool


_V10 = RoomVersion(
    identifier="10",
    event_format="v4",
    redacts_in_content=False,
    room_id_is_create_event_hash=False,
    redaction=RedactionRules(
        top_level=frozenset(
            (
                "event_id",
                "type",
                "room_id",
                "sender",
                "state_key",
                "content",
                "hashes",
                "signatures",
                "depth",
                "prev_events",
                "prev_state",
                "auth_events",
                "origin",
                "origin_server_ts",
                "membership",
            )
        ),
        content=MappingProxyType(
            {
                "m.room.member": frozenset(("membership", "join_authorised_via_users_server")),
                "m.room.create": frozenset(("creator",)),
                "m.room.join_rules": frozenset(("join_rule", "allow")),
                "m.room.power_levels": frozenset(
                    (
                        "ban",
                        "events",
                        "events_default",
                        "kick",
                        "redact",
                        "state_default",
                        "users",
                        "users_default",
                    )
                ),
                "m.room.history_visibility": frozenset(("history_visibility",)),
            }
        ),
        nested=MappingProxyType({}),
    ),
    auth=AuthorisationRules(
        create_in_auth_events=True,
        create_needs_creator=True,
        additional_creators=False,
        creators_have_infinite_power=False,
        integer_power_levels=True,
        invite_join_rules=frozenset(("invite", "knock")),
        restricted_join_rules=frozenset(("restricted", "knock_restricted")),
        knock_join_rules=frozenset(("knock", "knock_restricted")),
    ),
    state_resolution="v2",
    strict_canonical_json=True,
    enforce_signing_key_validity=True,
)

_V11 = replace(
    _V10,
    identifier="11",
    event_format="v11",
    redacts_in_content=True,
    redaction=RedactionRules(
        top_level=_V10.redaction.top_level - {"origin", "membership", "prev_state"},
        content=MappingProxyType(
            {
                **_V10.redaction.content,
                "m.room.create": None,
                "m.room.member": frozenset(
                    ("membership", "join_authorised_via_users_server", "third_party_invite")
                ),
                "m.room.power_levels": (_V10.redaction.content["m.room.power_levels"] or frozenset())
                | {"invite"},
                "m.room.redaction": frozenset(("redacts",)),
            }
        ),
        nested=MappingProxyType({("m.room.member", "third_party_invite"): frozenset(("signed",))}),
    ),
    auth=replace(_V10.auth, create_needs_creator=False),
)

_V12 = replace(
    _V11,
    identifier="12",
    event_format="v12",
    room_id_is_create_event_hash=True,
    auth=replace(
        _V11.auth,
        create_in_auth_events=False,
        additional_creators=True,
        creators_have_infinite_power=True,
    ),
    state_resolution="v2.1",
)

ROOM_VERSIONS: Mapping[str, RoomVersion] = MappingProxyType(
    {version.identifier: version for version in (_V10, _V11, _V12)}
)
"""All room versions that Plexus knows, by identifier."""

DEFAULT_ROOM_VERSION = "12"


def get(version: str) -> RoomVersion:
    """The room version of this identifier; `UnsupportedRoomVersion` if there is none."""
    try:
        return ROOM_VERSIONS[version]
    except (KeyError, TypeError):
        raise UnsupportedRoomVersion(f"Room version {version!r} is not supported") from None
