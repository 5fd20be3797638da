"""What `plexus.protocol` does with an event, one after the other, over a room of ordinary events."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from random import Random

from plexus.protocol import (
    Event,
    RoomVersion,
    auth_types_for_event,
    build_event,
    check_auth,
    check_auth_events,
    redact,
)
from plexus.protocol.hashes import check_content_hash
from plexus.protocol.pdus import read_pdu
from plexus.protocol.signatures import sign_event, signature_of, signed_bytes, verify_event
from plexus.protocol.verification import SignatureCheck, verify_all

from tests.load.kernel_timing import each, fastest, rate
from tests.support.making_events import KEY, Events, server_of

SERVERS = 20
TALK = 4
"""Messages for each member who joins."""

AT_ONCE = 300
"""Events verified on threads in one go: short enough that some goes have all cores for themselves."""

WORDS = ("the", "room", "was", "quiet", "until", "somebody", "asked", "whether", "it", "is", "out", "yet")


@dataclass(frozen=True)
class Corpus:
    """Events of one room in their order, each with the events that it cites. All are signed by one key."""

    version: RoomVersion
    events: Sequence[Event]
    by_id: Mapping[str, Event]

    @property
    def create(self) -> Event:
        return self.events[0]

    def cited(self, event: Event) -> list[Event]:
        return [self.by_id[event_id] for event_id in event.auth_events]


def corpus(version: RoomVersion, count: int) -> Corpus:
    """A public room: a fifth of it are joins, the rest messages of some hundred bytes, some with HTML."""
    random = Random(version.identifier)
    creator = "@creator:server0"
    made = Events(version, creator)
    state: dict[tuple[str, str], str] = {}
    tip: tuple[str, ...] = ()

    def add(kind: str, sender: str, content: Mapping[str, object], state_key: str | None) -> None:
        nonlocal tip
        keys = auth_types_for_event(version, kind, state_key, sender, content)
        cited = [state[key] for key in keys if key in state]
        event = made.make(kind, sender, content, state_key, prev_events=tip, auth_events=cited)
        tip = (event.event_id,)
        if event.is_state:
            state[event.key] = event.event_id

    add("m.room.create", creator, made.create_content(), "")
    add("m.room.member", creator, {"membership": "join"}, creator)
    levels = {} if version.auth.creators_have_infinite_power else {creator: 100}
    add("m.room.power_levels", creator, {"users": levels, "events": {"m.room.name": 50}}, "")
    add("m.room.join_rules", creator, {"join_rule": "public"}, "")
    users: list[str] = []
    while len(made.by_id) < count:
        if len(made.by_id) % (TALK + 1) == 0:
            user = f"@user{len(users)}:server{len(users) % SERVERS}"
            users.append(user)
            profile = {
                "displayname": f"User number {len(users)}",
                "avatar_url": f"mxc://media/{len(users):024}",
            }
            add("m.room.member", user, {"membership": "join", **profile}, user)
        else:
            body = " ".join(random.choices(WORDS, k=random.randint(3, 60)))
            content = {"msgtype": "m.text", "body": body, "m.mentions": {}}
            if random.random() < 0.2:
                content |= {"format": "org.matrix.custom.html", "formatted_body": f"<p>{body}</p>"}
            add("m.room.message", random.choice(users or [creator]), content, None)
    return Corpus(version, list(made.by_id.values()), made.by_id)


def measure(room: Corpus, seconds: float) -> dict[str, float]:
    """Events a second by what is done with them; CPU seconds, but for verifying on threads."""
    rates = {name: rate(act, len(room.events), seconds) for name, act in _acts(room).items()}
    for name, threads in (("verify, 1 thread", 1), ("verify, 2 threads", 2)):
        rates[name] = _on_threads(room, threads, 4 * seconds)
    return rates


def _acts(room: Corpus) -> dict[str, Callable[[], object]]:
    version, events = room.version, room.events
    raws = [event.raw for event in events]
    incoming = [read_pdu(raw) for raw in raws]
    pdus = [one.pdu for one in incoming]
    unsigned = [{key: value for key, value in pdu.items() if key != "signatures"} for pdu in pdus]
    servers = [server_of(event.sender) for event in events]
    return {
        "parse": each(read_pdu, raws),
        "check": each(lambda one: one.to_event(version), incoming),
        "hash": each(check_content_hash, pdus),
        "make": each(lambda event: _made_again(room, event), events),
        "sign": each(lambda pdu, server: sign_event(version, pdu, server, KEY), unsigned, servers),
        "verify": each(
            lambda pdu, server: verify_event(version, pdu, server, KEY.key_id, KEY.verify_key), pdus, servers
        ),
        "auth": each(lambda event: _authorised(room, event), events),
    }


def _made_again(room: Corpus, event: Event) -> Event:
    return build_event(
        room.version,
        room_id=None if room.version.room_id_is_create_event_hash and event is room.create else event.room_id,
        type=event.type,
        sender=event.sender,
        content=event.content,
        state_key=event.state_key,
        prev_events=event.prev_events,
        auth_events=event.auth_events,
        depth=event.depth,
        origin_server_ts=event.origin_server_ts,
        server_name=server_of(event.sender),
        key=KEY,
    )


def _authorised(room: Corpus, event: Event) -> None:
    """Upon its auth events, as an event that has come in is judged first."""
    cited = room.cited(event)
    state = {one.key: one for one in cited}
    check_auth_events(room.version, event, cited, lambda _: False)
    check_auth(room.version, event, lambda kind, key: state.get((kind, key)), create=room.create)


def _on_threads(room: Corpus, threads: int, seconds: float) -> float:
    """Whole verification of events that come together: bytes made on this thread, checked on others."""
    pdus = [(read_pdu(event.raw).pdu, server_of(event.sender)) for event in room.events[:AT_ONCE]]

    def verified() -> None:
        checks = [
            SignatureCheck(
                signed_bytes(redact(room.version, pdu)), signature_of(pdu, server, KEY.key_id), KEY.verify_key
            )
            for pdu, server in pdus
        ]
        assert not any(verify_all(checks, executor))

    with ThreadPoolExecutor(threads) as executor:
        return len(pdus) / fastest(verified, seconds, time.perf_counter)
