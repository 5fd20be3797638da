"""Writing under the row lock, after somebody else has written the room first.

Optimism alone starves under contention: whoever needs longest to build never wins. So after one conflict the
room's row is locked first (PostgreSQL queues the waiting fairly), the head is read forward and the chain
built upon it while nobody else can write the room. Only that room waits meanwhile.

The lane is another matter: its row is taken by the write call itself, and all other rooms of the lane wait
for it. So the call and the COMMIT are sent together, and the server goes from one to the other without asking
us.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeVar

import psycopg
from plexus.platform.lanes import ROOM
from plexus.platform.postgres import ReadSession, StoreUnavailable
from plexus.platform.postgres.errors import TRANSIENT
from plexus.platform.telemetry import GroupTrace
from plexus.protocol.errors import MatrixError
from plexus.rooms.announcing import announce
from plexus.rooms.head import RoomHead
from plexus.rooms.lane_writer import look_up
from plexus.rooms.write_call import WRITE, arguments, outcomes
from plexus.rooms.writes import Outcome, Result, RoomWrite
from psycopg import generators, pq
from psycopg.abc import PQGen

if TYPE_CHECKING:
    from plexus.rooms.actor import Chain, RoomActor
    from plexus.rooms.ground import Ground
    from plexus.rooms.wishes import Wish

_LOCK = "SELECT FROM rooms.room WHERE lane = %s::smallint AND room_id = %s FOR NO KEY UPDATE"


class Built(Protocol):
    """What was built upon a head. ``write`` is None, or has no events, if there is nothing to write."""

    @property
    def write(self) -> RoomWrite | None: ...


BuiltT = TypeVar("BuiltT", bound=Built)
Build: TypeAlias = Callable[[ReadSession, RoomHead], Awaitable[BuiltT]]


async def write_locked(actor: RoomActor, ground: Ground, wishes: Sequence[Wish]) -> tuple[Chain, Outcome]:
    """Build and write a batch while holding the room's row. The outcome is WRITTEN, REPLAYED or EXISTS.

    Raises `StoreUnavailable` if the lock does not come in time or the outcome is unknown.
    """

    async def build(session: ReadSession, head: RoomHead) -> Chain:
        chain = await actor.build_reading(session, head, wishes)
        await actor.judge(chain.write)
        return chain

    return await write_locked_by(actor, ground, build)


async def write_locked_by(actor: RoomActor, ground: Ground, build: Build[BuiltT]) -> tuple[BuiltT, Outcome]:
    """The same for whatever ``build`` makes of the head. What it raises comes through, and nothing is
    written.
    """
    try:
        return await _write_locked(actor, ground, build)
    except psycopg.Error as error:
        await ground.db.renew(error)
    return await _write_locked(actor, ground, build)


async def _write_locked(actor: RoomActor, ground: Ground, build: Build[BuiltT]) -> tuple[BuiltT, Outcome]:
    pool = ground.db.writers
    connection = await pool.acquire()
    built: BuiltT | None = None
    write: RoomWrite | None = None
    try:
        await connection.execute("BEGIN")
        await connection.execute(_LOCK, (actor.lane, actor.room_id))
        session = ReadSession(connection, None)
        head = await actor.read_head(session)
        try:
            built = await build(session, head)
        except psycopg.Error:
            raise
        except Exception:
            await connection.execute("ROLLBACK")
            raise
        write = built.write
        if write is None or not write.events:
            await connection.execute("COMMIT")
            return built, Outcome(Result.WRITTEN, position=head.head_position)
        with GroupTrace.of("rooms.write", ROOM, actor.lane, [write]) as trace:
            [outcome] = await _write_and_commit(connection, actor.lane, write)
    except MatrixError:
        await connection.execute("ROLLBACK")
        raise
    except TRANSIENT as error:
        unavailable = StoreUnavailable.of(error)
        if built is not None and write is not None and error.sqlstate is None:
            [found] = await look_up(ground, actor.lane, [write])
            if found is not None:
                return built, found
        raise unavailable from error
    finally:
        # The pool throws away a connection whose transaction is not over, and with it the lock.
        await pool.release(connection)
    await announce(ground, actor.lane, [write], [outcome], trace)
    return built, outcome


async def _write_and_commit(
    connection: psycopg.AsyncConnection[tuple[object, ...]], lane: int, write: RoomWrite
) -> list[Outcome]:
    results = await connection.wait(_exchange(connection.pgconn, arguments(lane, [write])))
    for result in results:
        if result.status not in (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK):
            raise psycopg.errors.error_from_result(result)
    return outcomes(results[0])


def _exchange(pgconn: pq.abc.PGconn, values: Sequence[bytes]) -> PQGen[list[pq.abc.PGresult]]:
    """Send the write and the COMMIT in one flush; their results."""
    pgconn.enter_pipeline_mode()
    try:
        pgconn.send_query_params(
            WRITE.sql,
            values,
            param_types=WRITE.types,
            param_formats=[pq.Format.BINARY] * len(values),
            result_format=pq.Format.BINARY,
        )
        pgconn.send_query_params(b"COMMIT", None)
        pgconn.pipeline_sync()
        yield from generators.send(pgconn)
        results: list[pq.abc.PGresult] = []
        while True:
            result = yield from generators.fetch(pgconn)
            if result is None:
                continue
            if result.status == pq.ExecStatus.PIPELINE_SYNC:
                return results
            results.append(result)
    finally:
        if pgconn.status == pq.ConnStatus.OK:
            pgconn.exit_pipeline_mode()
