"""Room versions as values.

A room version fixes the format of events, how they are redacted, hashed and named, who may send what, and how
state is resolved. Version 1 is written out below; each of the others is the one before plus what it changes,
so reading a version's entry is reading the first paragraph of its page in the specification. The rules never
ask "is this version 11 or later"; they look at the property that they need.

A version of one's own, for an experiment, is another `replace`; nothing else has to know it.

https://spec.matrix.org/latest/rooms/
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal, TypeAlias

from plexus.protocol import rule_numbers
from plexus.protocol.errors import UnsupportedRoomVersion

EventIds: TypeAlias = Literal["given", "hash", "url_safe_hash"]
"""How an event gets its ID: "given" by its server and part of the PDU (``$opaque:server``); or ``$`` and its
reference hash, in unpadded base64 of the standard or of the URL-safe alphabet."""

LevelValues: TypeAlias = Literal["integers", "strings", "floats"]
"""What may stand for a power level: integers alone; strings holding integers too; floats too, of which the
fraction does not count."""

StateResolution: TypeAlias = Literal["v1", "v2", "v2.1"]

MAX_INT53 = 2**53 - 1
MAX_INT63 = 2**63 - 1


@dataclass(frozen=True, slots=True)
class RedactionRules:
    """What survives a redaction.

    ``content`` maps an event type to the keys of its content that stay; a missing type keeps none; None keeps
    all. ``nested`` does the same one level down: (type, key) to the keys that stay of that object; what is no
    object goes.
    """

    top_level: frozenset[str]
    content: Mapping[str, frozenset[str] | None]
    nested: Mapping[tuple[str, str], frozenset[str]]

    def keeping(self, type: str, *keys: str) -> RedactionRules:
        """The same rules, by which the content of this event type keeps more keys."""
        kept = (self.content.get(type) or frozenset()) | frozenset(keys)
        return replace(self, content=MappingProxyType({**self.content, type: kept}))


@dataclass(frozen=True, slots=True)
class AuthorisationRules:
    """Where the authorisation rules of the versions differ."""

    numbers: Mapping[str, str]
    """The number of each rule on the version's page, by its name (``rule_numbers``)."""
    own_rules: frozenset[str]
    """Event types, but for m.room.create, that have rules of their own."""
    create_in_auth_events: bool
    """Whether m.room.create is selected for ``auth_events``; if not, the room ID implies it."""
    create_needs_creator: bool
    """Whether m.room.create must name a ``creator`` in its content, which then is the creator."""
    additional_creators: bool
    creators_have_infinite_power: bool
    level_values: LevelValues
    checks_all_levels: bool
    """Whether m.room.power_levels is rejected for any value that is no level; if not, only for one of
    ``users``, and elsewhere the default stands in for it."""
    guarded_entries: tuple[str, ...]
    """Properties of m.room.power_levels whose entries nobody changes who has not the power, beside
    ``users``."""
    invite_join_rules: frozenset[str]
    """Join rules under which an invitation (or being joined) is what lets a user join."""
    restricted_join_rules: frozenset[str]
    """Join rules under which a member's authorisation lets a user join."""
    knock_join_rules: frozenset[str]
    """Join rules under which a user may knock; where there is none, nobody knows such a membership."""


@dataclass(frozen=True, slots=True)
class RoomVersion:
    """One room version. Compare by identity or by ``identifier``."""

    identifier: str
    event_ids: EventIds
    references_with_hashes: bool
    """Whether ``prev_events`` and ``auth_events`` are lists of ``[event ID, {"sha256": reference hash}]``
    instead of event IDs."""
    redacts_in_content: bool
    """Whether m.room.redaction names its target in ``content.redacts`` instead of on the top level."""
    room_id_is_create_event_hash: bool
    redaction: RedactionRules
    auth: AuthorisationRules
    state_resolution: StateResolution
    strict_canonical_json: bool
    """Whether events that are not canonical JSON are refused; if not, floats and larger integers pass."""
    max_integer: int
    """The largest ``depth`` and ``origin_server_ts``. An event after one of this depth has this depth too."""
    enforce_signing_key_validity: bool
    """Whether a key must have been valid at ``origin_server_ts`` to verify an event."""


_V1 = RoomVersion(
    identifier="1",
    event_ids="given",
    references_with_hashes=True,
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
                "m.room.member": frozenset(("membership",)),
                "m.room.create": frozenset(("creator",)),
                "m.room.join_rules": frozenset(("join_rule",)),
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
                "m.room.aliases": frozenset(("aliases",)),
                "m.room.history_visibility": frozenset(("history_visibility",)),
            }
        ),
        nested=MappingProxyType({}),
    ),
    auth=AuthorisationRules(
        numbers=rule_numbers.numbers(rule_numbers.V1),
        own_rules=frozenset(
            (
                "m.room.aliases",
                "m.room.member",
                "m.room.third_party_invite",
                "m.room.power_levels",
                "m.room.redaction",
            )
        ),
        create_in_auth_events=True,
        create_needs_creator=True,
        additional_creators=False,
        creators_have_infinite_power=False,
        level_values="floats",
        checks_all_levels=False,
        guarded_entries=("events",),
        invite_join_rules=frozenset(("invite",)),
        restricted_join_rules=frozenset(),
        knock_join_rules=frozenset(),
    ),
    state_resolution="v1",
    strict_canonical_json=False,
    max_integer=MAX_INT63,
    enforce_signing_key_validity=False,
)

# Version 2: a state resolution without the resets of the first.
_V2 = replace(_V1, identifier="2", state_resolution="v2")

# Version 3: events are named by their hash; whether a redaction takes effect is no matter of authorisation.
_V3 = replace(
    _V2,
    identifier="3",
    event_ids="hash",
    references_with_hashes=False,
    auth=replace(
        _V2.auth,
        numbers=rule_numbers.numbers(rule_numbers.V3),
        own_rules=_V2.auth.own_rules - {"m.room.redaction"},
    ),
)

# Version 4: the same hash, in letters that a path can carry.
_V4 = replace(_V3, identifier="4", event_ids="url_safe_hash")

# Version 5: a key that had expired signs nothing.
_V5 = replace(_V4, identifier="5", enforce_signing_key_validity=True)

# Version 6: canonical JSON and nothing else; m.room.aliases means nothing any more; levels of notifications
# are guarded.
_V6 = replace(
    _V5,
    identifier="6",
    redaction=replace(
        _V5.redaction,
        content=MappingProxyType(
            {kind: keys for kind, keys in _V5.redaction.content.items() if kind != "m.room.aliases"}
        ),
    ),
    auth=replace(
        _V5.auth,
        numbers=rule_numbers.numbers(rule_numbers.V6),
        own_rules=_V5.auth.own_rules - {"m.room.aliases"},
        level_values="strings",
        guarded_entries=("events", "notifications"),
    ),
    strict_canonical_json=True,
    max_integer=MAX_INT53,
)

# Version 7: knocking.
_V7 = replace(
    _V6,
    identifier="7",
    auth=replace(
        _V6.auth,
        numbers=rule_numbers.numbers(rule_numbers.V7),
        invite_join_rules=frozenset(("invite", "knock")),
        knock_join_rules=frozenset(("knock",)),
    ),
)

# Version 8: joins restricted to members of other rooms.
_V8 = replace(
    _V7,
    identifier="8",
    redaction=_V7.redaction.keeping("m.room.join_rules", "allow"),
    auth=replace(
        _V7.auth,
        numbers=rule_numbers.numbers(rule_numbers.V8),
        restricted_join_rules=frozenset(("restricted",)),
    ),
)

# Version 9: who authorised a join is still known after a redaction.
_V9 = replace(
    _V8,
    identifier="9",
    redaction=_V8.redaction.keeping("m.room.member", "join_authorised_via_users_server"),
)

# Version 10: power levels are integers; one may knock where joins are restricted.
_V10 = replace(
    _V9,
    identifier="10",
    auth=replace(
        _V9.auth,
        numbers=rule_numbers.numbers(rule_numbers.V10),
        level_values="integers",
        checks_all_levels=True,
        restricted_join_rules=frozenset(("restricted", "knock_restricted")),
        knock_join_rules=frozenset(("knock", "knock_restricted")),
    ),
)

# Version 11: what matters to authorisation survives a redaction, and no more; ``creator`` is the sender,
# ``redacts`` moves into the content.
_V11 = replace(
    _V10,
    identifier="11",
    redacts_in_content=True,
    redaction=RedactionRules(
        top_level=_V10.redaction.top_level - {"origin", "membership", "prev_state"},
        content=MappingProxyType(
            {
                **_V10.redaction.keeping("m.room.member", "third_party_invite")
                .keeping("m.room.power_levels", "invite")
                .keeping("m.room.redaction", "redacts")
                .content,
                "m.room.create": None,
            }
        ),
        nested=MappingProxyType({("m.room.member", "third_party_invite"): frozenset(("signed",))}),
    ),
    auth=replace(_V10.auth, numbers=rule_numbers.numbers(rule_numbers.V11), create_needs_creator=False),
)

# Version 12: the create event is the room: its hash is the room's ID, its creators stand above all levels.
_V12 = replace(
    _V11,
    identifier="12",
    room_id_is_create_event_hash=True,
    auth=replace(
        _V11.auth,
        numbers=rule_numbers.numbers(rule_numbers.V12),
        create_in_auth_events=False,
        additional_creators=True,
        creators_have_infinite_power=True,
    ),
    state_resolution="v2.1",
)

ROOM_VERSIONS: Mapping[str, RoomVersion] = MappingProxyType(
    {
        version.identifier: version
        for version in (_V1, _V2, _V3, _V4, _V5, _V6, _V7, _V8, _V9, _V10, _V11, _V12)
    }
)
"""All room versions that Plexus knows, by identifier."""

DEFAULT_ROOM_VERSION = "12"


def get(version: str) -> RoomVersion:
    """The room version of this identifier; `UnsupportedRoomVersion` if there is none."""
    try:
        return ROOM_VERSIONS[version]
    except (KeyError, TypeError):
        raise UnsupportedRoomVersion(f"Room version {version!r} is not supported") from None
