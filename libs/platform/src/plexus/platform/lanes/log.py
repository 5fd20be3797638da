"""Reading the log: heads, facts, generations. What is read here is the truth."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from plexus.platform.lanes.facts import BelowFloor, Fact, Generation, Heads, Tail, Tails
from plexus.platform.lanes.lane_map import LaneMap
from plexus.platform.lanes.reader_guard import ReaderGuard
from plexus.platform.lanes.shared_read import SharedRead
from plexus.platform.lanes.tokens import SyncToken
from plexus.platform.postgres import Database, ReadSession
from plexus.platform.postgres.pool import Connection

log = logging.getLogger(__name__)

_HEADS = "SELECT generation, rooms, users FROM lanes.heads()"

_TAILS = """
SELECT l.family, l.lane, l.generation, l.head, l.floor, f.position, f.kind, f.subject, f.lo, f.hi, f.data
  FROM unnest(%s::text[], %s::bigint[], %s::bigint[]) AS w (family, lane, after)
  JOIN lanes.lane AS l ON l.family = w.family::"char" AND l.lane = w.lane::smallint
  LEFT JOIN LATERAL (
       SELECT * FROM lanes.fact AS f
        WHERE f.family = l.family AND f.lane = l.lane AND f.position > w.after AND f.position <= l.head
        ORDER BY f.position LIMIT %s) AS f ON true
 ORDER BY l.family, l.lane, f.position
"""

_OF_SUBJECT = """
SELECT l.floor, f.position, f.kind, f.subject, f.lo, f.hi, f.data
  FROM lanes.lane AS l
  LEFT JOIN lanes.fact AS f ON f.family = l.family AND f.lane = l.lane AND f.subject = %s
                           AND f.position > %s AND f.position <= %s
 WHERE l.family = %s::text::"char" AND l.lane = %s::smallint
 ORDER BY f.position
"""

_GENERATIONS = """
SELECT id, number, parent, timeline, system_id, room_heads, user_heads FROM lanes.generation ORDER BY number
"""

_NEWEST = """
SELECT g.id, g.timeline = lanes.timeline() AND g.system_id = (SELECT system_identifier FROM
pg_control_system())
  FROM lanes.generation AS g ORDER BY g.number DESC LIMIT 1
"""


class LaneLog:
    """The lanes of one deployment, as PostgreSQL has them.

    Call `start` once the database is open. From then on each new writer connection checks PostgreSQL's
    timeline and begins a generation if it has changed; so does a write that ``lanes.append`` refuses, because
    a pooler has kept the connection over a failover.
    """

    def __init__(self, db: Database, lanes: LaneMap) -> None:
        self._db = db
        self.lanes = lanes
        self._generations: dict[int, Generation] = {}
        self._lost: dict[int, Generation] = {}
        self._newest: Generation | None = None
        self._refreshed = 0.0
        self._heads: tuple[float, Heads] | None = None
        self._primary_heads = SharedRead(self._heads_of_primary)
        self._any_heads = SharedRead(self._heads_of_replica) if db.has_replica else self._primary_heads
        self.reader = ReaderGuard(self._heads_by, self.generation)
        if db.has_replica:
            db.replica_lags = self.reader.lags

    async def start(self, *, embedded: bool = False) -> None:
        """``embedded``: this process has just started the server itself, maybe on a copied data folder; then
        a new generation begins in any case.
        """
        self._db.on_connect(self.check_timeline)
        self._db.on_generation_ended(self.renew)
        if embedded:
            await self.begin_generation("embedded start")
        else:
            await self._db.writers.forget_idle()
            async with self._db.read(primary=True):
                pass  # the connection itself is the check
            await self.refresh()

    def generation(self) -> int:
        """The newest generation that this process knows: what writers put into the groups they publish."""
        return self._current().id

    async def begin_generation(self, reason: str) -> int:
        """Begin a new generation under all lane rows, and return its id."""
        [(fresh,)] = await self._db.call("SELECT lanes.begin_generation(%s)", (reason,))
        await self.refresh()
        log.info("generation %d began: %s", fresh, reason)
        return int(fresh)

    async def check_timeline(self, connection: Connection) -> None:
        """Begin a generation if PostgreSQL's timeline or system is not the one of the newest."""
        row: Any = await (await connection.execute(_NEWEST)).fetchone()
        if row is None:
            raise RuntimeError("the database has no lanes yet: run `plexus db migrate`")
        newest, same = row
        if not same:
            await connection.execute("SELECT lanes.begin_generation(%s, %s)", ("timeline changed", newest))
            log.warning("PostgreSQL's timeline changed: a new generation begins")
        if not same or (self._newest is not None and newest != self._newest.id):
            await self._load(connection)

    async def renew(self) -> None:
        """Begin a generation if PostgreSQL's timeline has changed under connections that a pooler kept."""
        [(newest,)] = await self._db.call("SELECT lanes.renew_generation()")
        log.warning("PostgreSQL's timeline changed behind our connections: generation %d", newest)
        await self.refresh()

    async def refresh(self) -> None:
        """Read the generations again."""
        async with self._db.read(primary=True) as session:
            self._take(await session.fetch(_GENERATIONS))

    async def note_generation(self, generation: int) -> None:
        """Somebody saw this generation: learn it, unless we know it."""
        if generation not in self._generations or generation != self._current().id:
            await self.refresh()

    async def heads(self, *, max_age: float = 0.0, primary: bool = False) -> Heads:
        """The last position of each lane: one query, shared by those who ask at the same time.

        ``max_age``: seconds that a result may be old, whoever has asked for it. ``primary``: not from a
        replica, and never older than the question.
        """
        if primary:
            return await self._primary_heads.get()
        if self._heads is not None and time.monotonic() - self._heads[0] < max_age:
            return self._heads[1]
        return await self._any_heads.get()

    async def facts(
        self, family: str, lane: int, after: int, upto: int | None = None, *, limit: int = 10_000
    ) -> list[Fact]:
        """Facts of a lane with ``after < position <= upto``, in order; `BelowFloor` if some are dropped."""
        tail = (await self.tails({(family, lane): after}, limit=limit)).lanes[family, lane]
        if after < tail.floor:
            raise BelowFloor(family, lane, tail.floor)
        return [fact for fact in tail.facts if upto is None or fact.position <= upto]

    async def facts_of(self, family: str, lane: int, subject: str, after: int, upto: int) -> list[Fact]:
        """Facts of one room or user with ``after < position <= upto``; `BelowFloor` if some are dropped."""
        async with self._db.read() as session:
            rows = await session.fetch(_OF_SUBJECT, (subject, after, upto, family, lane))
        if not rows:
            raise LookupError(f"there is no lane {family}{lane}")
        if after < rows[0][0]:
            raise BelowFloor(family, lane, rows[0][0])
        return [_fact(row[1:]) for row in rows if row[1] is not None]

    async def tails(
        self, after: Mapping[tuple[str, int], int], *, limit: int = 1_000, primary: bool | None = None
    ) -> Tails:
        """For each given lane its head, floor and the facts after a position (at most ``limit`` a lane), all
        of one statement. ``primary`` as for `Database.read`.
        """
        wanted = list(after)
        async with self._db.read(primary=primary) as session:
            rows = await session.fetch(
                _TAILS,
                (
                    [key[0] for key in wanted],
                    [key[1] for key in wanted],
                    [after[key] for key in wanted],
                    limit,
                ),
            )
        if not rows:
            raise LookupError("there are no such lanes")
        lanes: dict[tuple[str, int], Tail] = {}
        facts: dict[tuple[str, int], list[Fact]] = {}
        for family, lane, _, head, floor, *fact in rows:
            key = (family, lane)
            if key not in lanes:
                facts[key] = []
                lanes[key] = Tail(head, floor, facts[key])
            if fact[0] is not None:
                facts[key].append(_fact(fact))
        return Tails(rows[0][2], lanes)

    async def floor(self, family: str, lane: int) -> int:
        """The last position of the lane that is dropped; 0 if none is."""
        async with self._db.read() as session:
            row = await session.one(
                'SELECT floor FROM lanes.lane WHERE family = %s::text::"char" AND lane = %s::smallint',
                (family, lane),
            )
        if row is None:
            raise LookupError(f"there is no lane {family}{lane}")
        return int(row[0])

    async def clamp(self, token: SyncToken) -> SyncToken | None:
        """The token in terms of the newest generation.

        One of an older generation is cut back to where the next one began: what lay beyond is lost, and its
        positions are being given again. Its ``to_device`` counts as far as ``users`` has the user's lane,
        which is not known here. None for an unknown generation or another number of lanes: full sync, and
        all of the inbox.
        """
        if token.generation not in self._generations:
            await self._refresh_sometimes()
        if len(token.rooms) != self.lanes.rooms or len(token.users) != self.lanes.users:
            return None
        if token.generation == self._current().id:
            return token
        cut = self.cut_back(token.generation)
        if cut is None:
            return None
        return replace(
            token,
            generation=self._current().id,
            rooms=tuple(map(min, token.rooms, cut.room_heads)),
            users=tuple(map(min, token.users, cut.user_heads)),
        )

    def cut_back(self, generation: int) -> Generation | None:
        """The generation at whose first heads the history of ``generation`` ends, seen from the newest one;
        None if ``generation`` is the newest or unknown.

        A generation that this process has seen and that a restore has wiped out ends where its nearest
        ancestor that is left ends.
        """
        ancestor: int | None = generation
        while ancestor is not None and ancestor not in self._generations:
            lost = self._lost.get(ancestor)
            ancestor = None if lost is None else lost.parent
        if ancestor is None:
            return None
        return next((g for g in self._generations.values() if g.parent == ancestor), None)

    async def _heads_of_primary(self) -> Heads:
        began = time.monotonic()
        # As a call, which costs our CPU half as much as a session: every process reads them once a second.
        rows = await self._db.call(_HEADS, together=True)
        return self._take_heads(began, rows[0] if rows else None)

    async def heads_of_replica(self) -> Heads:
        """How far the replica is that reads are from."""
        return await self._any_heads.get()

    async def _heads_of_replica(self) -> Heads:
        async with self._db.read(primary=False) as session:
            return await self._heads_by(session)

    async def _heads_by(self, session: ReadSession) -> Heads:
        began = time.monotonic()
        return self._take_heads(began, await session.one(_HEADS))

    def _take_heads(self, began: float, row: Sequence[Any] | None) -> Heads:
        if row is None or row[0] is None:
            raise RuntimeError("the database has no lanes yet: run `plexus db migrate`")
        # The generation is the same in every lane: one begins for all of them in one transaction.
        heads = Heads(row[0], tuple(row[1]), tuple(row[2]))
        if self._heads is None or began >= self._heads[0]:
            self._heads = (began, heads)
        return heads

    async def _refresh_sometimes(self) -> None:
        # A client may send any token: it must not cost a query each time.
        if time.monotonic() - self._refreshed > 1.0:
            await self.refresh()

    async def _load(self, connection: Connection) -> None:
        self._take(await (await connection.execute(_GENERATIONS)).fetchall())

    def _take(self, rows: Sequence[Sequence[Any]]) -> None:
        self._refreshed = time.monotonic()
        found = [
            Generation(
                id=row[0],
                number=row[1],
                parent=row[2],
                timeline=row[3],
                system_id=row[4],
                room_heads=tuple(row[5]),
                user_heads=tuple(row[6]),
            )
            for row in rows
        ]
        known = {generation.id: generation for generation in found}
        self._lost |= {key: gone for key, gone in self._generations.items() if key not in known}
        self._generations = known
        self._newest = found[-1]

    def _current(self) -> Generation:
        if self._newest is None:
            raise RuntimeError("LaneLog.start has not been awaited")
        return self._newest


async def read_lane_map(db: Database) -> LaneMap:
    """The numbers of lanes that this deployment was created with."""
    async with db.read(primary=True) as session:
        row = await session.one("SELECT room_lanes, user_lanes FROM lanes.deployment")
    if row is None:
        raise RuntimeError("the database has no lanes yet: run `plexus db migrate`")
    return LaneMap(rooms=row[0], users=row[1])


def _fact(row: Sequence[Any]) -> Fact:
    position, kind, subject, lo, hi, data = row
    return Fact(position, kind, subject, lo, hi, data)
