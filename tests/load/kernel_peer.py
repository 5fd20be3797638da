"""Runs in Synapse's environment: the same acts on the same events, by Synapse's own functions.

One request a line on standard input, one answer a line on standard output. What of a resolution is a question
to Synapse's database (the auth difference, the conflicted subgraph) is worked out before the clock starts.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[2]))  # for what of ours it may import, at the end

from signedjson.key import decode_signing_key_base64
from synapse import event_auth
from synapse.api.room_versions import KNOWN_ROOM_VERSIONS, RoomVersion
from synapse.crypto.event_signing import (
    add_hashes_and_signatures,
    check_event_content_hash,
    compute_event_signature,
)
from synapse.events import EventBase, make_event_from_dict
from synapse.federation.federation_base import _check_sigs_on_pdu, event_from_pdu_json
from synapse.state import v2
from synapse.storage.databases.main.event_federation import StateDifference
from synapse.util.json import json_decoder

from tests.interop.synapse.checks import Clock, Events, KnownKeys, finish
from tests.load.kernel_timing import each, fastest, rate

Json = dict[str, Any]


def read(path: str) -> list[bytes]:
    return Path(path).read_bytes().splitlines()


def domain(pdu: Json) -> str:
    return str(pdu["sender"]).partition(":")[2]


def measure_events(request: Json) -> dict[str, float]:
    """``pdus`` is a file with one a line, ``seed`` the key that has signed them all."""
    version = KNOWN_ROOM_VERSIONS[request["version"]]
    raws = read(request["pdus"])
    pdus = [json_decoder.decode(raw.decode()) for raw in raws]
    events = [event_from_pdu_json(dict(pdu), version) for pdu in pdus]
    create = events[0]
    store = Events({event.event_id: event for event in events})
    cited = [
        [store.by_id[one] for one in event.auth_event_ids()]
        + ([create] if version.msc4291_room_ids_as_hashes and event is not create else [])
        for event in events
    ]
    key = decode_signing_key_base64("ed25519", request["key_version"], request["seed"])
    bare = [
        {name: value for name, value in pdu.items() if name not in ("signatures", "hashes")} for pdu in pdus
    ]
    hashed = [{name: value for name, value in pdu.items() if name != "signatures"} for pdu in pdus]
    keys = KnownKeys({domain(pdu): {request["key_id"]: request["public"]} for pdu in pdus})
    acts: dict[str, Callable[[], object]] = {
        "parse": each(lambda raw: json_decoder.decode(raw.decode()), raws),
        "check": each(lambda pdu: checked(version, pdu), pdus),
        "hash": each(check_event_content_hash, events),
        "make": each(lambda pdu: made(version, dict(pdu), key), bare),
        "sign": each(lambda pdu: compute_event_signature(version, pdu, domain(pdu), key), hashed),
        "verify": each(lambda event: finish(_check_sigs_on_pdu(keys, version, event)), events),
        "auth": each(lambda event, state: authorised(store, event, state), events, cited),
    }
    return {name: rate(act, len(pdus), request["seconds"]) for name, act in acts.items()}


def without(pdu: Json, *names: str) -> Json:
    return {name: value for name, value in pdu.items() if name not in names}


def checked(version: RoomVersion, pdu: Json) -> str:
    event = event_from_pdu_json(dict(pdu), version)
    event_auth.validate_event_for_room_version(event)
    return str(event.event_id)


def made(version: RoomVersion, pdu: Json, key: Any) -> str:
    add_hashes_and_signatures(version, pdu, domain(pdu), key)
    return str(make_event_from_dict(pdu, version).event_id)


def authorised(store: Events, event: EventBase, state: Sequence[EventBase]) -> None:
    finish(event_auth.check_state_independent_auth_rules(store, event))
    event_auth.check_state_dependent_auth_rules(event, state)


class Answered(Events):
    """A database that has worked out its answer."""

    def __init__(self, events: Mapping[str, EventBase], difference: StateDifference) -> None:
        super().__init__(events)
        self._difference = difference

    async def get_auth_chain_difference(self, *_: object) -> StateDifference:
        return StateDifference(set(self._difference.auth_difference), self._difference.conflicted_subgraph)


def measure_resolution(request: Json) -> Json:
    """``states`` are lists of event ids; milliseconds, and a digest of what was resolved."""
    version = KNOWN_ROOM_VERSIONS[request["version"]]
    events = [event_from_pdu_json(json.loads(raw), version) for raw in read(request["pdus"])]
    by_id = {event.event_id: event for event in events}
    maps = [{(by_id[one].type, by_id[one].state_key): one for one in state} for state in request["states"]]
    store = Answered(by_id, difference(by_id, maps, subgraph=version.identifier == "12"))

    def resolved() -> Mapping[tuple[str, str], str]:
        answer = v2.resolve_events_with_store(Clock(), events[0].room_id, version, maps, None, store)
        found: Mapping[tuple[str, str], str] = finish(answer)
        return found

    ids = "\n".join(sorted(resolved().values()))
    milliseconds = 1_000 * fastest(resolved, request["seconds"])
    return {"ms": milliseconds, "resolved": hashlib.sha256(ids.encode()).hexdigest()}


def difference(
    by_id: Mapping[str, EventBase], maps: Sequence[Mapping[tuple[str, str], str]], *, subgraph: bool
) -> StateDifference:
    """What the definition of the specification says, set by set."""
    chains = [chain(by_id, state.values()) for state in maps]
    in_some: set[str] = set().union(*chains)
    differing = in_some.difference(in_some.intersection(*chains))
    if not subgraph:
        return StateDifference(differing, None)
    places = {
        place for state in maps for place in state if any(other.get(place) != state[place] for other in maps)
    }
    conflicted = {state[place] for state in maps for place in places if place in state}
    above = conflicted | chain(by_id, conflicted)
    between = set(conflicted)
    for event_id, event in by_id.items():  # an event stands after those it cites
        if event_id in above and not between.isdisjoint(event.auth_event_ids()):
            between.add(event_id)
    return StateDifference(differing, between)


def chain(by_id: Mapping[str, EventBase], ids: Iterable[str]) -> set[str]:
    found: set[str] = set()
    ahead = list(ids)
    while ahead:
        event_id = ahead.pop()
        if event_id not in found:
            found.add(event_id)
            ahead += by_id[event_id].auth_event_ids()
    return found


def main() -> None:
    for line in sys.stdin:
        request = json.loads(line)
        act = {"events": measure_events, "resolution": measure_resolution}[request["do"]]
        try:
            answer: Json = {"answer": act(request)}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
