"""Rooms in which everybody tries everything: events of ours, each with our verdict upon the state before it.

What is tried is random but likely to matter: memberships with and without right, power levels well and badly
formed, join rules that exist and that do not, invitations by third parties, redactions. What our rules allow
becomes the state; what they refuse is kept as well, for another server to refuse. The same seed tries the
same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from plexus.protocol import (
    AuthRejected,
    Event,
    RoomVersion,
    SigningKey,
    add_signature,
    auth_types_for_event,
    build_event,
    check_auth,
    check_auth_events,
    sign_json,
)
from plexus.protocol.events import reference_hash_of

SERVERS = ("one", "two", "three")
KEYS = {server: SigningKey(f"ed25519:a_{server}", server.encode().ljust(32)) for server in SERVERS}
IDENTITY = SigningKey("ed25519:0", b"an identity server's key".ljust(32))
USERS = ("@alice:one", "@bob:two", "@carol:three", "@dan:two", "@eve:one", "@frank:three")
TYPES = ("m.room.message", "m.room.topic", "m.room.name", "org.example.thing", "m.room.aliases")
RULES = ("public", "public", "invite", "knock", "restricted", "knock_restricted", "private", "none", 5, None)
LEVELS = (0, 0, 10, 25, 50, 50, 75, 100, 100, 101, -1)
ODD_LEVELS: Sequence[Any] = ("50", " 75 ", "+25", "-0010", "many", None, [50], {}, 2**53 - 1, "1e2", "")
TOKENS = ("first token", "second token")


def server_of(user_id: str) -> str:
    return user_id.partition(":")[2]


@dataclass(frozen=True)
class Attempt:
    """An event, the ids of the state before it, and what our rules have against it, None if nothing."""

    event: Event
    before: Sequence[str]
    refused: str | None


@dataclass
class Room:
    """A room in which `attempt` has been called so and so often."""

    version: RoomVersion
    random: Random
    attempts: list[Attempt] = field(default_factory=list)
    events: dict[str, Event] = field(default_factory=dict)
    state: dict[tuple[str, str], str] = field(default_factory=dict)
    tip: tuple[str, ...] = ()
    create: Event | None = None
    allowed: set[str] = field(default_factory=set)
    spoiling: bool = False
    """Whether auth events are not always those that they should be."""

    def lookup(self, type: str, state_key: str) -> Event | None:
        event_id = self.state.get((type, state_key))
        return None if event_id is None else self.events[event_id]

    def try_(self, type: str, sender: str, content: Mapping[str, Any], state_key: str | None = None) -> bool:
        """Whether our rules allow this event, upon the state there is; it is kept in any case."""
        content = dict(content)
        redacts = content.pop("redacts", None)
        cited = [
            self.state[key]
            for key in auth_types_for_event(self.version, type, state_key, sender, content)
            if key in self.state
        ]
        if self.spoiling and self.random.random() < 0.06:
            self.spoil(cited)
        event = build_event(
            self.version,
            room_id=self.room_id(type, sender),
            type=type,
            sender=sender,
            content=content,
            state_key=state_key,
            redacts=redacts,
            prev_events=self.tip,
            auth_events=cited,
            depth=len(self.allowed) + 1,
            origin_server_ts=1_700_000_000_000 + len(self.events),
            server_name=server_of(sender),
            key=KEYS[server_of(sender)],
            **self.naming(sender, (*self.tip, *cited)),
        )
        event = self.countersigned(event)
        try:
            check_auth_events(self.version, event, [self.events[one] for one in cited], lambda _: False)
            check_auth(self.version, event, self.lookup, create=self.create)
            refused = None
        except AuthRejected as error:
            refused = str(error)
        self.attempts.append(Attempt(event, list(self.state.values()), refused))
        self.events[event.event_id] = event
        if refused is None:
            self.create = self.create or event
            self.allowed.add(event.event_id)
            self.tip = (event.event_id,)
            if event.is_state:
                self.state[event.key] = event.event_id
        return refused is None

    def spoil(self, cited: list[str]) -> None:
        """One auth event too few, or one of any kind too many."""
        if cited and self.random.random() < 0.4:
            cited.remove(self.random.choice(cited))
        else:
            others = [event_id for event_id in self.allowed_in_order() if event_id not in cited]
            cited += self.random.sample(others, min(1, len(others)))

    def allowed_in_order(self) -> list[str]:
        return [event_id for event_id in self.events if event_id in self.allowed]

    def room_id(self, type: str, sender: str) -> str | None:
        if self.version.room_id_is_create_event_hash:
            return None if self.create is None or type == "m.room.create" else self.create.room_id
        return f"!attempts:{server_of(USERS[0])}"

    def naming(self, sender: str, cited: Sequence[str]) -> dict[str, Any]:
        """What events of the first room versions have besides."""
        named: dict[str, Any] = {}
        if self.version.event_ids == "given":
            named["event_id"] = f"${len(self.events)}:{server_of(sender)}"
        if self.version.references_with_hashes:
            named["reference_hashes"] = {
                one: reference_hash_of(self.version, self.events[one].raw) for one in cited
            }
        return named

    def countersigned(self, event: Event) -> Event:
        """With the signature of the server whose user has authorised a join."""
        authoriser = event.content.get("join_authorised_via_users_server")
        if not isinstance(authoriser, str) or server_of(authoriser) not in KEYS:
            return event
        server = server_of(authoriser)
        return add_signature(self.version, event, server, KEYS[server])

    def attempt(self) -> None:
        """Somebody tries something."""
        sender = self.random.choice(USERS) if self.random.random() < 0.7 else USERS[0]
        roll = self.random.random()
        if roll < 0.45:
            self.try_membership(sender)
        elif roll < 0.62:
            self.try_("m.room.power_levels", sender, self.some_levels(), "")
        elif roll < 0.72:
            content = {"join_rule": self.random.choice(RULES)} if self.random.random() < 0.95 else {}
            self.try_("m.room.join_rules", sender, content, "")
        elif roll < 0.78:
            self.try_("m.room.third_party_invite", sender, some_keys(self.random), self.random.choice(TOKENS))
        elif roll < 0.84:
            target = self.random.choice(self.allowed_in_order())
            self.try_("m.room.redaction", sender, {"redacts": target, "reason": "why not"})
        elif roll < 0.86:
            content = {"room_version": self.version.identifier, "creator": sender}
            self.try_("m.room.create", sender, content, "")
        else:
            key = self.random.choice(
                (None, None, "", "", sender, self.random.choice(USERS), server_of(sender))
            )
            self.try_(self.random.choice(TYPES), sender, {"body": str(len(self.events))}, key)

    def try_membership(self, sender: str) -> None:
        random = self.random
        target = sender if random.random() < 0.4 else random.choice(USERS)
        if target == USERS[0] and random.random() < 0.8:  # she is to stay a while
            target = USERS[1]
        membership = random.choice(
            ("join", "join", "join", "invite", "invite", "leave", "leave", "ban", "knock")
        )
        content: dict[str, Any] = {"membership": membership, "reason": "of no matter"}
        if random.random() < 0.04:
            content["membership"] = random.choice(("dance", "", 5, None, ["join"]))
        if random.random() < 0.02:
            del content["membership"]
        if membership == "join" and random.random() < 0.5:
            content["join_authorised_via_users_server"] = random.choice(USERS)
        if membership == "invite" and random.random() < 0.4:
            content["third_party_invite"] = some_invitation(random, target)
        self.try_("m.room.member", sender, content, None if random.random() < 0.01 else target)

    def some_levels(self) -> dict[str, Any]:
        """The power levels there are with something changed, more or less well."""
        random = self.random
        current = self.lookup("m.room.power_levels", "")
        content: dict[str, Any] = dict(current.content) if current is not None else {}
        for _ in range(random.randint(1, 2)):
            odd = random.random() < 0.12
            level = random.choice(ODD_LEVELS if odd else LEVELS)
            match random.randrange(8):
                case 0 | 1 | 2:
                    content["users"] = {**as_dict(content.get("users")), random.choice(USERS): level}
                case 3:
                    users = as_dict(content.get("users"))
                    users.pop(random.choice(USERS), None)
                    content["users"] = users
                case 4:
                    kind = random.choice(("m.room.topic", "m.room.power_levels", "m.room.member", "x"))
                    content["events"] = {**as_dict(content.get("events")), kind: level}
                case 5:
                    content["notifications"] = {**as_dict(content.get("notifications")), "room": level}
                case 6:
                    content[random.choice(NAMED)] = level
                case _:
                    content.pop(random.choice(NAMED), None)
        if random.random() < 0.02:
            content[random.choice(("users", "events", "notifications"))] = random.choice((5, [], "x", None))
        if random.random() < 0.02:
            content["users"] = {**as_dict(content.get("users")), random.choice(("bob", "@bob", "")): 50}
        return content


NAMED = ("users_default", "events_default", "state_default", "ban", "kick", "redact", "invite")


def as_dict(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, dict) else {}


def some_keys(random: Random) -> dict[str, Any]:
    """The content of a third-party invite; the identity server's key stands in one of two places."""
    key = IDENTITY.verify_key.to_base64()
    other = KEYS["one"].verify_key.to_base64()
    return random.choice(
        (
            {"display_name": "G", "public_key": key},
            {"display_name": "G", "public_key": other, "public_keys": [{"public_key": key}]},
            {"display_name": "G", "public_key": other, "public_keys": []},
            {"display_name": "G"},
        )
    )


def some_invitation(random: Random, target: str) -> Any:
    """What shows that the identity server knows the invited user; not always truly so."""
    whom = target if random.random() < 0.85 else random.choice(USERS)
    signed = sign_json({"mxid": whom, "token": random.choice(TOKENS)}, "identity", IDENTITY)
    roll = random.random()
    if roll < 0.05:
        del signed[random.choice(("mxid", "token", "signatures"))]
    elif roll < 0.1:
        signed["token"] = "another token"
    elif roll < 0.15:
        signed = sign_json({"mxid": whom, "token": TOKENS[0]}, "identity", KEYS["three"])
    return {"display_name": "G", "signed": signed} if roll < 0.95 else random.choice(({}, {"signed": 5}))


def room_of_attempts(version: RoomVersion, seed: int, count: int) -> Room:
    """A room with so many attempts; Alice has made it and set its power levels."""
    random = Random(seed)
    room = Room(version, random)
    alice = USERS[0]
    content: dict[str, Any] = {"room_version": version.identifier}
    if version.auth.create_needs_creator:
        content["creator"] = alice
    if random.random() < 0.1:
        content["m.federate"] = False
    if version.auth.additional_creators and random.random() < 0.5:
        content["additional_creators"] = [USERS[1]]
    assert room.try_("m.room.create", alice, content, "")
    assert room.try_("m.room.member", alice, {"membership": "join"}, alice)
    users = {} if version.auth.creators_have_infinite_power else {alice: 100}
    if random.random() < 0.9:
        assert room.try_("m.room.power_levels", alice, {"users": users, "invite": 0}, "")
    if random.random() < 0.7:
        assert room.try_("m.room.join_rules", alice, {"join_rule": "public"}, "")
    room.spoiling = True
    for _ in range(count):
        room.attempt()
    return room
