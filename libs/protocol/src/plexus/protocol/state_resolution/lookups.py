"""What a resolution asks of its caller, and what it remembers of the answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from plexus.protocol.auth_rules.context import NamedEvent
from plexus.protocol.errors import MissingEvents

StateKey: TypeAlias = tuple[str, str]
"""(type, state key)."""

Conflicted: TypeAlias = Sequence[Mapping[StateKey, str]]
"""For each state, its entries (event IDs) at those places where not all states are the same. A place that a
state does not fill is not in its mapping."""


class StateEvent(NamedEvent, Protocol):
    """What is read of an event; `Event` has it all. ``depth`` matters to v1 alone."""

    @property
    def origin_server_ts(self) -> int: ...
    @property
    def depth(self) -> int: ...
    @property
    def auth_events(self) -> Sequence[str]: ...


def none_is_rejected(event_id: str) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Lookups:
    """The caller's knowledge of the room.

    - ``event``: the event of this ID; None if it is not at hand (`MissingEvents` will name it).
    - ``unconflicted``: the event ID that all states have at (type, state key), or None. It is never asked
      about a conflicted place, so any one of the states can answer. Who does not know raises `MissingEvents`
      with the place; it is kept with what else is missing, and told together.
    - ``cited_by_unconflicted``: which of these events are in the auth chain of any unconflicted state event.
      It is asked at most once, about events that only some states' conflicted events lead to; most
      resolutions never ask. `cited_by` is an implementation for who can list the unconflicted events.
    - ``rank``: a number that is greater for an event than for each of its auth events, such as the order in
      which they were stored, or `Generations`. It bounds all walks: nobody looks for an event below its rank.
      It is asked only about events that ``event`` has given.
    - ``is_rejected``: whether the event was rejected on receipt. A rejected event does not authorise another
      one as its auth event.
    """

    event: Callable[[str], StateEvent | None]
    unconflicted: Callable[[str, str], str | None]
    cited_by_unconflicted: Callable[[Set[str]], Set[str]]
    rank: Callable[[str], int]
    is_rejected: Callable[[str], bool] = none_is_rejected


class Room:
    """The room as one resolution comes to know it: each event is asked for once."""

    __slots__ = (
        "_events",
        "_lookups",
        "_missing",
        "_places",
        "conflicted",
        "differing",
        "is_rejected",
        "rank",
    )

    def __init__(self, conflicted: Conflicted, lookups: Lookups) -> None:
        self.conflicted = conflicted
        self.differing: frozenset[StateKey] = frozenset().union(*conflicted)
        """The conflicted places."""
        self.rank = lookups.rank
        self.is_rejected = lookups.is_rejected
        self._lookups = lookups
        self._events: dict[str, StateEvent] = {}
        self._missing: set[str] = set()
        self._places: set[StateKey] = set()

    def find(self, event_id: str) -> StateEvent | None:
        """The event, or None: then it is noted as missing, and `demand` will tell."""
        event = self._events.get(event_id)
        if event is None:
            event = self._lookups.event(event_id)
            if event is None:
                self._missing.add(event_id)
            else:
                self._events[event_id] = event
        return event

    def get(self, event_id: str) -> StateEvent:
        """The event; `MissingEvents` if it is not at hand."""
        event = self.find(event_id)
        if event is None:
            raise MissingEvents(frozenset(self._missing), frozenset(self._places))
        return event

    def demand(self, event_ids: Iterable[str] = ()) -> None:
        """`MissingEvents` unless these, and all that was looked for, are at hand."""
        for event_id in event_ids:
            self.find(event_id)
        if self._missing or self._places:
            raise MissingEvents(frozenset(self._missing), frozenset(self._places))

    def unconflicted(self, type: str, state_key: str) -> str | None:
        """The event ID, or None if there is none; also if that is not known, and then `demand` will tell."""
        if (type, state_key) in self.differing:
            return None
        try:
            return self._lookups.unconflicted(type, state_key)
        except MissingEvents as missing:
            self._missing |= missing.event_ids
            self._places |= missing.places
            return None

    def without_cited_by_unconflicted(self, event_ids: Set[str]) -> Set[str]:
        return event_ids - self._lookups.cited_by_unconflicted(event_ids) if event_ids else event_ids

    def cited(self, event: StateEvent, type: str, state_key: str) -> StateEvent | None:
        """The auth event of ``event`` at this place."""
        for event_id in event.auth_events:
            auth_event = self.get(event_id)
            if auth_event.type == type and auth_event.state_key == state_key:
                return auth_event
        return None
