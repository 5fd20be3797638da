"""Work owed to every room of a user, written in the transaction that owes it.

Who does it claims a task for some time, works, and finishes it; a task whose worker died is claimed again,
and one whose cause came again meanwhile has another version and stays. So each step must bear being repeated.
"""

from __future__ import annotations

from plexus.users.models import RoomTask
from plexus.users.store import UserStore


class RoomTaskStore(UserStore):
    async def claim_room_tasks(
        self, *, user_id: str | None = None, lease_ms: int = 60_000, limit: int = 10
    ) -> list[RoomTask]:
        """Tasks that nobody works on, ours for ``lease_ms``; of one user, or of all."""
        now = self.clock.now_ms()
        lanes = await self._lanes_with_free_tasks(now) if user_id is None else [self.lane(user_id)]
        tasks: list[RoomTask] = []
        for lane in lanes:
            rows = await self.db.call(
                "UPDATE users.room_task t SET lease_until = %s FROM ("
                "  SELECT lane, user_id, kind FROM users.room_task"
                "  WHERE lane = %s::smallint AND lease_until <= %s AND (%s::text IS NULL OR user_id = %s)"
                "  LIMIT %s FOR UPDATE SKIP LOCKED) c"
                " WHERE t.lane = c.lane AND t.user_id = c.user_id AND t.kind = c.kind"
                " RETURNING t.user_id, t.kind, t.version",
                (now + lease_ms, lane, now, user_id, user_id, limit - len(tasks)),
            )
            tasks += [RoomTask(*row) for row in rows]
            if len(tasks) >= limit:
                break
        return tasks

    async def _lanes_with_free_tasks(self, now: int) -> list[int]:
        # There is hardly ever one, and somebody looks every few seconds: one query, and not one a lane.
        rows = await self.db.call(
            "SELECT DISTINCT lane FROM users.room_task WHERE lease_until <= %s", (now,), together=True
        )
        return [lane for (lane,) in rows]

    async def renew_room_task(self, task: RoomTask, lease_ms: int = 60_000) -> bool:
        """Prolong the lease; False when the task's cause has come again, or it is done: stop."""
        rows = await self.db.call(
            "UPDATE users.room_task SET lease_until = %s"
            " WHERE lane = %s::smallint AND user_id = %s AND kind = %s AND version = %s RETURNING 1",
            (self.clock.now_ms() + lease_ms, self.lane(task.user_id), task.user_id, task.kind, task.version),
        )
        return bool(rows)

    async def release_room_task(self, task: RoomTask) -> None:
        """Let somebody else do it, at once."""
        await self.db.call(
            "UPDATE users.room_task SET lease_until = 0"
            " WHERE lane = %s::smallint AND user_id = %s AND kind = %s RETURNING 1",
            (self.lane(task.user_id), task.user_id, task.kind),
        )

    async def finish_room_task(self, task: RoomTask) -> bool:
        """False if it has to be done again, because its cause came again; then it is free to be claimed."""
        rows = await self.db.call(
            "DELETE FROM users.room_task"
            " WHERE lane = %s::smallint AND user_id = %s AND kind = %s AND version = %s RETURNING 1",
            (self.lane(task.user_id), task.user_id, task.kind, task.version),
        )
        if not rows:
            await self.release_room_task(task)
        return bool(rows)
