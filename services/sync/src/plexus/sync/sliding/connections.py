"""Connections: what a client has been sent, kept where every replica finds it.

A room that was sent is *live* while each of its changes is sent with the next answer: then it is told up to
where the token says, and nothing is written however much happens in it. Once a change was held back, because
the room was in no list and no subscription, the connection remembers up to which position it was told. So it
does of each extension and the rooms out of its scope.

A state of a connection is immutable; an answer that changes it makes another one, whose number stands in the
token. The one before stays until the client comes back with the newer token, because the answer may be lost.
So do the states that other answers to the same token have made: the client may have read any of them. A
request that was given up changes nothing for who has gone on; its state is forgotten, or never written.

MSC4186, "Connections".
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from zlib import compress, decompress

import orjson
from plexus.platform.clock import Clock
from plexus.platform.postgres import Database
from plexus.protocol.errors import UnknownPos
from plexus.sync.replica.sent_members import SentMembers
from plexus.sync.sliding.models import Element, RequiredState, RoomConfig

Held = Mapping[str, Mapping[str, int]]
LIVE = -1
_ROOM_BYTES = 250
_HELD_BYTES = 100
_DAY_MS = 24 * 3600 * 1000
UNUSED_MS = 30 * _DAY_MS
"""A connection that was not used for so long is forgotten when its user opens another one. That it is in use
is written once a day, if its state does not change.
"""
BESIDE = 3
"""Other states that follow the same one: what a client does that gives up requests again and again."""

_SELECT = """
SELECT rooms, created_ts FROM sync.connection
 WHERE lane = %s::smallint AND user_id = %s AND device_id = %s AND conn_id = %s AND state = %s
"""

_SAVE = (
    "SELECT sync.save_state(%s::smallint, %s, %s, %s, %s::bigint, %s::bigint, %s::bigint, %s::bigint, %s,"
    " %s::integer, %s::integer, %s::bigint)"
)
_USE = "SELECT sync.use_connection(%s::smallint, %s, %s, %s, %s::bigint)"


@dataclass(frozen=True, slots=True)
class SentRoom:
    """``told``: `LIVE`, or the position up to which the room was told. ``config`` is with what the client has
    it: less than it was sent with, once something has happened in what was not wanted any more.
    """

    told: int
    config: RoomConfig


@dataclass(frozen=True, slots=True)
class ConnectionKey:
    lane: int
    user_id: str
    device_id: str
    conn_id: str


@dataclass(slots=True)
class Connection:
    """One state of a connection; without one it is about to begin, with a request that came in at
    ``began_ms``. Of the rooms ``direct`` the client was told that they are direct chats. ``held`` are by
    extension the rooms of which it has held something back, with the position up to which each was told.
    """

    key: ConnectionKey
    state: int | None = None
    rooms: Mapping[str, SentRoom] = field(default_factory=dict)
    direct: frozenset[str] = frozenset()
    held: Held = field(default_factory=dict)
    began_ms: int = 0

    @property
    def size(self) -> int:
        """What it costs in memory, in bytes, roughly."""
        return _ROOM_BYTES * len(self.rooms) + _HELD_BYTES * sum(map(len, self.held.values()))

    def says(self, other: Connection) -> bool:
        """Whether it is the same but for its number."""
        return (self.rooms, self.direct, self.held) == (other.rooms, other.direct, other.held)

    @property
    def number(self) -> int:
        """Of a state that is stored."""
        if self.state is None:
            raise ValueError("this connection has not begun")
        return self.state


@dataclass(slots=True)
class _Kept:
    """What is kept of a connection: two of its newest states, and the members that its client has been sent
    lazily. ``used_ms`` is when it was last written that it is in use.
    """

    states: dict[int, Connection] = field(default_factory=dict)
    members: SentMembers = field(default_factory=SentMembers)
    weighed: int = 0
    used_ms: int = 0

    @property
    def size(self) -> int:
        """What it costs in memory, in bytes, roughly."""
        return 500 + self.members.size + sum(each.size for each in self.states.values())


class Connections:
    """Reads and writes connections, and keeps ``limit`` in memory, of ``limit_bytes`` at most."""

    def __init__(self, db: Database, clock: Clock, *, limit: int, limit_bytes: int, per_user: int) -> None:
        self._db = db
        self._clock = clock
        self.limit = limit
        self.limit_bytes = limit_bytes
        self.bytes = 0
        self._per_user = per_user
        self._kept: OrderedDict[ConnectionKey, _Kept] = OrderedDict()

    def members(self, key: ConnectionKey) -> SentMembers:
        """The members that the client has been sent lazily: by this replica, another one sends them again."""
        return self._keep(key).members

    async def get(self, key: ConnectionKey, state: int) -> Connection:
        """`UnknownPos` if this user's device has no such connection in this state."""
        kept = self._kept.get(key)
        if kept is None or state not in kept.states:
            kept = await self._read(key, state)
        now = self._clock.now_ms()
        if now - kept.used_ms > _DAY_MS:
            kept.used_ms = now
            await self._db.call(_USE, (key.lane, key.user_id, key.device_id, key.conn_id, now))
        return kept.states[state]

    async def _read(self, key: ConnectionKey, state: int) -> _Kept:
        async with self._db.read(primary=True) as session:
            row = await session.one(_SELECT, (key.lane, key.user_id, key.device_id, key.conn_id, state))
        if row is None:
            raise UnknownPos
        data, used_ms = row
        known = self._kept.get(key)
        newest = [] if known is None else list(known.states.values())[-1:]
        kept = self._keep(key, *newest, Connection(key, state, *_unpack(data)))
        kept.used_ms = max(kept.used_ms, used_ms)
        return kept

    async def save(
        self,
        before: Connection,
        rooms: Mapping[str, SentRoom],
        direct: frozenset[str] = frozenset(),
        held: Held | None = None,
    ) -> Connection:
        """The state that follows ``before``: the same if nothing of it has changed. `UnknownPos` if the
        client has gone on with the answer to another request.
        """
        after = Connection(before.key, secrets.randbits(62), rooms, direct, held or {})
        if before.state is not None and after.says(before):
            return before
        key, now = before.key, self._clock.now_ms()
        [(saved,)] = await self._db.call(
            _SAVE,
            (
                key.lane,
                key.user_id,
                key.device_id,
                key.conn_id,
                before.state,
                after.state,
                before.began_ms,
                now,
                _pack(after),
                BESIDE,
                self._per_user,
                now - UNUSED_MS,
            ),
        )
        if not saved:
            raise UnknownPos
        self._keep(key, *([] if before.state is None else [before]), after).used_ms = now
        return after

    def _keep(self, key: ConnectionKey, *states: Connection) -> _Kept:
        """What is kept of this connection, with these states in the place of others if there are any."""
        kept = self._kept.setdefault(key, _Kept())
        self._kept.move_to_end(key)
        if states:
            kept.states = {each.number: each for each in states}
        size = kept.size
        self.bytes += size - kept.weighed
        kept.weighed = size
        while len(self._kept) > self.limit or (self.bytes > self.limit_bytes and len(self._kept) > 1):
            self.bytes -= self._kept.popitem(last=False)[1].weighed
        return kept


def told_upto(sent: SentRoom, live: int) -> int:
    """The position up to which a room was told, given that of live rooms in its lane. A held-back one was
    told less; if it says more, that was in a log that has ended.
    """
    return live if sent.told == LIVE else min(sent.told, live)


def _pack(connection: Connection) -> bytes:
    """Configs are few and shared: each stands once."""
    configs: dict[RoomConfig, int] = {}
    sent = {
        room_id: [each.told, configs.setdefault(each.config, len(configs))]
        for room_id, each in connection.rooms.items()
    }
    plain = {
        "configs": [_plain(config) for config in configs],
        "rooms": sent,
        "direct": list(connection.direct),
        "held": connection.held,
    }
    return compress(orjson.dumps(plain), 1)


def _unpack(data: bytes) -> tuple[dict[str, SentRoom], frozenset[str], Held]:
    found = orjson.loads(decompress(data))
    configs = [_config(plain) for plain in found["configs"]]
    rooms = {room_id: SentRoom(told, configs[index]) for room_id, (told, index) in found["rooms"].items()}
    # Versions before had no direct chats here: they are told once more then. What they held back is lost.
    return rooms, frozenset(found.get("direct", ())), found.get("held", {})


def _plain(config: RoomConfig) -> list[object]:
    return [
        config.timeline_limit,
        [
            [_pairs(each.include), _pairs(each.exclude), each.lazy]
            for each in sorted(config.required, key=repr)
        ],
    ]


def _pairs(elements: frozenset[Element]) -> list[list[str | None]]:
    return [[each.type, each.state_key] for each in sorted(elements, key=repr)]


def _config(plain: list[object]) -> RoomConfig:
    limit, required = plain
    assert isinstance(limit, int)
    assert isinstance(required, list)
    return RoomConfig(
        limit,
        frozenset(
            RequiredState(
                frozenset(Element(*pair) for pair in include),
                frozenset(Element(*pair) for pair in exclude),
                lazy,
            )
            for include, exclude, lazy in required
        ),
    )
