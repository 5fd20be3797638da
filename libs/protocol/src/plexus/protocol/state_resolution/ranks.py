"""Ranks: numbers that grow along auth events, so that a walk knows where it can stop."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Set

from plexus.protocol.errors import MissingEvents
from plexus.protocol.state_resolution.lookups import StateEvent


class Generations:
    """The rank of an event as the length of the longest way from it down its auth events.

    For who has no order of his own. It walks the whole auth chain of what it is asked about, once.
    """

    def __init__(self, event: Callable[[str], StateEvent | None]) -> None:
        self._event = event
        self._known: dict[str, int] = {}

    def __call__(self, event_id: str) -> int:
        """`MissingEvents` if part of the chain is not at hand, `ValueError` if the chain bites its tail."""
        known = self._known
        path: dict[str, tuple[str, ...]] = {}
        stack = [event_id]
        while stack:
            current = stack[-1]
            if current in known:
                stack.pop()
            elif current in path:
                stack.pop()
                known[current] = 1 + max((known[cited] for cited in path.pop(current)), default=-1)
            else:
                event = self._event(current)
                if event is None:
                    raise MissingEvents(frozenset((current,)))
                path[current] = tuple(event.auth_events)
                for cited in event.auth_events:
                    if cited in path:
                        raise ValueError(f"The auth chain of {cited} leads back to it")
                    if cited not in known:
                        stack.append(cited)
        return known[event_id]


def cited_by(
    roots: Iterable[str],
    wanted: Set[str],
    event: Callable[[str], StateEvent | None],
    rank: Callable[[str], int],
) -> set[str]:
    """Those of ``wanted`` that are in the auth chain of any of ``roots``.

    Of ``roots`` only those are looked at whose rank is above the lowest of ``wanted``; who knows their ranks
    without asking may leave out the others. `MissingEvents` for what is not at hand.
    """
    found: set[str] = set()
    missing: set[str] = set()
    if not wanted:
        return found
    floor = min(map(rank, wanted))
    seen: set[str] = set()
    for root in roots:
        stack = [root]
        while stack:
            current = stack.pop()
            if current in seen:
                continue
            seen.add(current)
            known = event(current)
            if known is None:
                missing.add(current)
            elif rank(current) > floor:
                for cited in known.auth_events:
                    if cited in wanted:
                        found.add(cited)
                    stack.append(cited)
        if len(found) == len(wanted):
            return found
    if missing:
        raise MissingEvents(frozenset(missing))
    return found
