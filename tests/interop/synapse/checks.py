"""Runs in Synapse's environment: what Synapse's own check functions say of events that are given as JSON.

One request a line on standard input, one answer a line on standard output, until the input ends. Nothing of
Plexus is imported here, and nothing of Synapse's is written anew: where one of its functions wants a
database, it gets the events of the request.

A request is ``{"do": "shape", "judge" or "resolve", "version": ..., "pdus": {our id: PDU}, ...}``; the PDUs
come in an order in which what an event cites stands before it. See the functions for the rest.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping
from typing import Any

from canonicaljson import encode_canonical_json
from signedjson.key import decode_verify_key_bytes
from synapse import event_auth
from synapse.api.room_versions import KNOWN_ROOM_VERSIONS, RoomVersion, StateResolutionVersions
from synapse.crypto.event_signing import check_event_content_hash, compute_event_reference_hash
from synapse.crypto.keyring import Keyring, VerifyJsonRequest
from synapse.events import EventBase
from synapse.events.utils import prune_event
from synapse.federation.federation_base import _check_sigs_on_pdu, event_from_pdu_json
from synapse.state import v1, v2
from synapse.storage.databases.main.event_federation import StateDifference
from unpaddedbase64 import decode_base64

Json = dict[str, Any]


def finish(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that has nothing to wait for."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    raise RuntimeError("It waits for something")


def refusal(check: Callable[[], object]) -> str | None:
    """What the check has against it, in words; None if nothing."""
    try:
        check()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


class KnownKeys(Keyring):  # type: ignore[misc]  # types are in the other environment
    """A key ring that has the keys and asks nobody."""

    def __init__(self, keys: Mapping[str, Mapping[str, str]]) -> None:
        self._known = {
            (server, key_id): decode_verify_key_bytes(key_id, decode_base64(key))
            for server, by_id in keys.items()
            for key_id, key in by_id.items()
        }

    async def process_request(self, request: VerifyJsonRequest) -> None:
        for key_id in request.key_ids:
            key = self._known.get((request.server_name, key_id))
            if key is not None:
                await self.process_json(key, request)
                return
        raise LookupError(f"There is no key of {request.server_name} among {request.key_ids}")


class Events:
    """The events of a request, for the functions that want a database."""

    def __init__(self, events: Mapping[str, EventBase]) -> None:
        self.by_id = {event.event_id: event for event in events.values()}

    async def get_events(self, ids: Collection[str], *_: object, **__: object) -> dict[str, EventBase]:
        return {event_id: self.by_id[event_id] for event_id in ids if event_id in self.by_id}

    async def get_auth_chain_difference(
        self,
        room_id: str,
        state_sets: list[set[str]],
        conflicted_state: set[str] | None,
        additional_backwards_reachable_conflicted_events: set[str] | None,
    ) -> StateDifference:
        """What is stored adds nothing: every event is handed over as one that is not stored yet, so that
        Synapse's own code walks the auth chains.
        """
        if any(state_sets) or conflicted_state:
            raise AssertionError("An event was not among those handed over")
        return StateDifference(set(), None if conflicted_state is None else set())


class Clock:
    async def sleep(self, *_: object) -> None:
        """Nobody else is waiting."""


def parsed(version: RoomVersion, pdus: Mapping[str, Json]) -> tuple[dict[str, EventBase], dict[str, str]]:
    """Events by our id, and why those are none that are none."""
    events: dict[str, EventBase] = {}
    errors: dict[str, str] = {}
    for our_id, pdu in pdus.items():
        try:
            events[our_id] = event_from_pdu_json(pdu, version)
        except Exception as error:
            errors[our_id] = f"{type(error).__name__}: {error}"
    return events, errors


def shape(request: Json) -> Json:
    """By our id: the event id it gives to a PDU, or what it has against its format."""
    version = KNOWN_ROOM_VERSIONS[request["version"]]
    events, errors = parsed(version, request["pdus"])
    answer: Json = {our_id: {"shape": error} for our_id, error in errors.items()}
    for our_id, event in events.items():
        fault = refusal(lambda: event_auth.validate_event_for_room_version(event))  # noqa: B023
        answer[our_id] = {"shape": fault, "event_id": event.event_id}
    return answer


def judge(request: Json) -> Json:
    """Every check of every PDU, by our id.

    ``states`` has the ids of the state before an event, ``keys`` those of servers by id, in base64. What a
    check has against an event stands under its name, None if nothing.
    """
    version = KNOWN_ROOM_VERSIONS[request["version"]]
    keys = KnownKeys(request["keys"])
    events, errors = parsed(version, request["pdus"])
    store = Events(events)
    answer: Json = {our_id: {"shape": error} for our_id, error in errors.items()}
    for our_id, event in events.items():
        before = [events[one] for one in request["states"][our_id]]
        answer[our_id] = {
            "shape": refusal(lambda: event_auth.validate_event_for_room_version(event)),  # noqa: B023
            "event_id": event.event_id,
            "reference_hash": compute_event_reference_hash(event)[1].hex(),
            "content_hash": check_event_content_hash(event),
            "signatures": refusal(lambda: finish(_check_sigs_on_pdu(keys, version, event))),  # noqa: B023
            "redacted": canonical(prune_event(event)),
            "auth_types": cited(version, event),
            "auth_events": refusal(
                lambda: finish(event_auth.check_state_independent_auth_rules(store, event))  # noqa: B023
            ),
            "auth": refusal(lambda: authorised(event, before)),  # noqa: B023
            "redaction": redaction(version, event, before),
        }
    return answer


def cited(version: RoomVersion, event: EventBase) -> list[tuple[str, str]] | None:
    """The places of the state that may be cited; None where it stumbles over a malformed event."""
    try:
        return sorted(event_auth.auth_types_for_event(version, event))
    except Exception:
        return None


def authorised(event: EventBase, before: Iterable[EventBase]) -> None:
    event_auth.check_state_dependent_auth_rules(event, before)


def redaction(version: RoomVersion, event: EventBase, before: Iterable[EventBase]) -> bool | str | None:
    """Whether it takes effect without looking at its target; why it never does; None for other events."""
    if event.type != "m.room.redaction":
        return None
    state = {(one.type, one.state_key): one for one in before}
    try:
        return not event_auth.check_redaction(version, event, state)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def canonical(event: EventBase) -> str:
    """A redacted PDU without what is no part of it."""
    pdu = {key: value for key, value in event.get_pdu_json().items() if key != "unsigned"}
    text: str = encode_canonical_json(pdu).decode()
    return text


def resolve(request: Json) -> list[Any]:
    """``questions`` are lists of state sets, each a list of event ids; the answers are sorted ids."""
    version = KNOWN_ROOM_VERSIONS[request["version"]]
    events, errors = parsed(version, request["pdus"])
    if errors:
        raise ValueError(f"Not events: {errors}")
    return [sorted(resolved(version, events, question).values()) for question in request["questions"]]


def resolved(
    version: RoomVersion, events: Mapping[str, EventBase], sets: list[list[str]]
) -> Mapping[tuple[str, str], str]:
    maps = [{(events[one].type, events[one].state_key): one for one in state} for state in sets]
    room_id = next(iter(events.values())).room_id
    store = Events(events)
    if version.state_res == StateResolutionVersions.V1:
        answer = v1.resolve_events_with_store(room_id, version, maps, dict(store.by_id), store.get_events)
    else:
        answer = v2.resolve_events_with_store(Clock(), room_id, version, maps, dict(store.by_id), store)
    result: Mapping[tuple[str, str], str] = finish(answer)
    return result


def main() -> None:
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"answer": {"shape": shape, "judge": judge, "resolve": resolve}[request["do"]](request)}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
