"""Of which rooms an extension tells, and of which it still has to.

An extension may be restricted to some lists and rooms. What changes elsewhere meanwhile is not lost to the
client: the connection notes up to where each such room was told, once something was held back, and the rest
comes when the room is in scope again. Without a restriction, and without news elsewhere, nothing is noted.

MSC4186, "Extensions"; MSC3575, "Extensions".
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from plexus.sync.sliding.lists import Picked
from plexus.sync.sliding.models import Scope

EVERYWHERE = "*"
"""Among notes: the extension was not asked for, so it has told of no room."""

NEVER = 0
"""Up to where a room was told of which nothing was."""


@dataclass(slots=True)
class Reach:
    """Of one extension in one request. ``within`` are the rooms that it may tell of, of those that were
    ``sent``; ``told`` says of others up to where they were told, and ends as what is to be noted.
    """

    within: Collection[str]
    sent: Collection[str]
    told: dict[str, int]
    anew: bool
    """Whether it was not asked for before."""

    @classmethod
    def of(
        cls,
        scope: Scope,
        picked: Picked,
        subscribed: Collection[str],
        sent: Collection[str],
        noted: Mapping[str, int],
    ) -> Reach:
        within = _within(scope, picked, subscribed, sent)
        if EVERYWHERE not in noted:
            return cls(within, sent, dict(noted), False)
        return cls(within, sent, dict.fromkeys(sent, noted[EVERYWHERE]), True)

    def back(self, initial: Collection[str] = ()) -> dict[str, int]:
        """The rooms that have come into scope, and up to where they were told; they are told now. Those that
        are ``initial`` are told as a whole in any case.
        """
        back = {room_id: told for room_id, told in self.told.items() if room_id in self.within}
        for room_id in back:
            del self.told[room_id]
        for room_id in initial:
            back.pop(room_id, None)
        return back

    def hold(self, changed: Mapping[str, int], initial: Iterable[str]) -> None:
        """Note of rooms out of scope that have ``changed`` up to where they were told, and of those in which
        the client begins that it was told nothing.
        """
        if self.within is self.sent:
            return
        for room_id in initial:
            if room_id not in self.within:
                self.told[room_id] = NEVER
        for room_id, told in changed.items():
            if room_id not in self.within and room_id in self.sent:
                self.told.setdefault(room_id, told)


def _within(
    scope: Scope, picked: Picked, subscribed: Collection[str], sent: Collection[str]
) -> Collection[str]:
    """The rooms that an extension is about. Unrestricted these are also those that have left all windows."""
    lists, rooms = scope.lists, scope.rooms
    if lists is None and rooms is None:
        return sent
    named = subscribed if rooms is None else rooms
    return {
        room_id
        for room_id in sent
        if room_id in named
        or (
            (match := picked.matches.get(room_id)) is not None
            and (bool(match.lists) if lists is None else not lists.isdisjoint(match.lists))
        )
    }
