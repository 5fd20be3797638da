"""Which rooms a request is about: lists over the user's rooms, and subscriptions.

MSC4186, "Lists and subscriptions"; ``SlidingRoomFilter``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import orjson
from plexus.rooms import Rooms, Wanted
from plexus.sync.sliding.models import RoomConfig, RoomFilters, SlidingRequest
from plexus.sync.sliding.table import Entry, Table
from plexus.users import ContactRules, Users

SHOWN = frozenset({"join", "invite", "knock"})


@dataclass(slots=True)
class Match:
    """A room that the request wants: with what config, and by which lists."""

    entry: Entry
    config: RoomConfig
    lists: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Picked:
    """``counts`` are those of the lists, whatever their ranges."""

    matches: dict[str, Match]
    counts: dict[str, int]


class Picker:
    def __init__(self, rooms: Rooms, users: Users) -> None:
        self._rooms = rooms
        self._users = users

    async def pick(
        self,
        request: SlidingRequest,
        table: Table,
        sent: Mapping[str, object],
        direct: frozenset[str],
        unread: frozenset[str],
        user_id: str,
        rules: ContactRules,
    ) -> Picked:
        """``sent`` are the rooms that the connection has been sent, ``direct`` the direct chats, ``unread``
        those with something to read, if a list asks for it. ``rules`` say whose invites are not there.
        """
        listed = [
            entry
            for entry in table.ordered
            if (entry.membership.membership in SHOWN or entry.removed or entry.room_id in sent)
            and not _is_unwelcome(entry, rules)
        ]
        picked = Picked({}, {})
        # What the user looks at comes first, if not all has room in the answer.
        for room_id, room in request.subscriptions.items():
            subscribed = table.entries.get(room_id)
            if subscribed is not None and not _is_unwelcome(subscribed, rules):
                _add(picked, subscribed, room)
        tags = await self._tags(user_id, request)
        for name, config in request.lists.items():
            passes = await self._filter(config.filters, table, direct, unread, tags)
            found = listed if passes is None else [entry for entry in listed if passes(entry)]
            picked.counts[name] = len(found)
            for entry in _within(found, config.ranges):
                _add(picked, entry, config.room).lists.append(name)
        return picked

    async def _tags(self, user_id: str, request: SlidingRequest) -> Mapping[str, frozenset[str]]:
        """The tags by room, read if a list wants to know."""
        if not any(config.filters.by_tags for config in request.lists.values()):
            return {}
        found = {}
        for row in await self._users.account_data_all(user_id):
            if row.room_id and row.type == "m.tag":
                tags = orjson.loads(row.content).get("tags")
                found[row.room_id] = frozenset(tags if isinstance(tags, dict) else ())
        return found

    async def _filter(
        self,
        filters: RoomFilters,
        table: Table,
        direct: frozenset[str],
        unread: frozenset[str],
        tags: Mapping[str, frozenset[str]],
    ) -> Callable[[Entry], bool] | None:
        """What tells whether a room is in a list; None if all are."""
        if filters == _EVERYTHING:
            return None
        children = None if filters.spaces is None else await self._children(filters.spaces, table)

        def passes(entry: Entry) -> bool:
            card, room_id = entry.card, entry.room_id
            mine = tags.get(room_id, _NO_TAGS)
            return (
                (filters.is_dm is None or filters.is_dm == (room_id in direct))
                and (filters.is_encrypted is None or filters.is_encrypted == card.encrypted)
                and (
                    filters.is_invited is None
                    or filters.is_invited == (entry.membership.membership == "invite")
                )
                and (filters.room_types is None or card.type in filters.room_types)
                and card.type not in filters.not_room_types
                and (filters.tags is None or not mine.isdisjoint(filters.tags))
                and mine.isdisjoint(filters.not_tags)
                and (filters.favourite is None or filters.favourite == ("m.favourite" in mine))
                and (filters.unread is None or filters.unread == (room_id in unread))
                and (filters.name is None or filters.name in (card.name or "").casefold())
                and (children is None or room_id in children)
            )

        return passes

    async def _children(self, spaces: frozenset[str], table: Table) -> frozenset[str]:
        """The rooms that joined ones of these spaces name. "Servers MUST NOT navigate subspaces"."""
        refs = [
            entry.membership.ref
            for entry in map(table.entries.get, spaces)
            if entry is not None and entry.membership.membership == "join"
        ]
        heads = await self._rooms.heads(refs, table.cut.rooms)
        states = await self._rooms.states(
            [(ref, heads[ref].snapshot, _CHILDREN) for ref in refs if ref in heads]
        )
        return frozenset(
            state_key
            for state in states
            for (_, state_key), event in state.items()
            if isinstance(via := event.content.get("via"), list) and via
        )


def _is_unwelcome(entry: Entry, rules: ContactRules) -> bool:
    """Whether it is an invite of somebody whom the user ignores, or they want none. "Ignoring Users", "Invite
    permission".
    """
    invited = entry.membership.membership == "invite"
    return invited and (rules.blocks_invites or entry.inviter in rules.ignored)


_EVERYTHING = RoomFilters()
_NO_TAGS: frozenset[str] = frozenset()
_CHILDREN = Wanted(types=frozenset({"m.space.child"}))


def _within(found: Sequence[Entry], ranges: Sequence[tuple[int, int]] | None) -> Sequence[Entry]:
    if ranges is None:
        return found
    if len(ranges) == 1:
        [(first, last)] = ranges
        return found[first : last + 1]
    indices = sorted({index for first, last in ranges for index in range(first, min(last + 1, len(found)))})
    return [found[index] for index in indices]


def _add(picked: Picked, entry: Entry, config: RoomConfig) -> Match:
    match = picked.matches.get(entry.room_id)
    if match is None:
        match = picked.matches[entry.room_id] = Match(entry, config)
    else:
        match.config |= config
    return match
