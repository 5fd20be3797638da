"""To-device messages waiting for a device.

Client-Server API, "Send-to-Device messaging".
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import orjson
from plexus.platform.lanes import USER, Fact, UserFact
from plexus.users.models import ToDeviceMessage
from plexus.users.store import UserStore


class InboxStore(UserStore):
    async def put_messages(
        self, sender: str, type: str, contents: Mapping[str, Mapping[str, Mapping[str, Any]]]
    ) -> None:
        """Deliver contents by local recipient and device (``*``: all of the user's). One transaction a lane;
        devices that do not exist are passed over.
        """
        lanes: dict[int, list[tuple[str, str, bytes]]] = defaultdict(list)
        for user_id, devices in contents.items():
            for device_id, content in devices.items():
                event = orjson.dumps({"sender": sender, "type": type, "content": content})
                lanes[self.lane(user_id)].append((user_id, device_id, event))
        for lane, messages in lanes.items():
            [(first,)] = await self.db.call(
                "SELECT users.put_messages(%s::smallint, %s::text[], %s::text[], %s::bytea[])",
                (lane, *([message[column] for message in messages] for column in range(3))),
            )
            facts = tuple(
                Fact(first + offset, UserFact.TO_DEVICE, user_id, data=_device(device_id))
                for offset, (user_id, device_id, _) in enumerate(messages)
            )
            self.publish(lane, facts)
            if sender in contents and self.lane(sender) == lane:
                await self.platform.marks.set(sender, {(USER, lane): facts[-1].position})

    async def inbox(
        self, user_id: str, device_id: str, after: int, upto: int, limit: int = 100
    ) -> list[ToDeviceMessage]:
        """The first messages with ``after < sequence <= upto``, in order. Sequences are positions of the
        user's lane.
        """
        async with self.read() as session:
            rows = await session.fetch(
                "SELECT sequence, event FROM users.to_device WHERE lane = %s::smallint AND user_id = %s"
                " AND device_id = %s AND sequence > %s AND sequence <= %s ORDER BY sequence LIMIT %s",
                (self.lane(user_id), user_id, device_id, after, upto, limit),
            )
        return [ToDeviceMessage(*row) for row in rows]

    async def inbox_delete(self, user_id: str, device_id: str, upto: int, generation: int) -> int:
        """Delete what a sync token of this generation says was delivered; how many messages. None in another
        generation: there the same sequences are of other messages.
        """
        rows = await self.db.call(
            "WITH gone AS (DELETE FROM users.to_device WHERE lane = %s::smallint AND user_id = %s"
            " AND device_id = %s AND sequence <= %s AND EXISTS (SELECT FROM lanes.lane AS l"
            " WHERE l.family = 'u' AND l.lane = %s::smallint AND l.generation = %s) RETURNING 1)"
            " SELECT count(*) FROM gone",
            (self.lane(user_id), user_id, device_id, upto, self.lane(user_id), generation),
        )
        return int(rows[0][0])


def _device(device_id: str) -> bytes:
    # As users.put_messages writes it: empty for all devices.
    return b"" if device_id == "*" else device_id.encode()
