"""Devices. One lives and dies with its tokens and keys.

Client-Server API, "Device management".
"""

from __future__ import annotations

from collections.abc import Sequence

from plexus.platform.lanes import UserFact
from plexus.users.models import Device
from plexus.users.store import UserStore


class DeviceStore(UserStore):
    async def devices(self, user_id: str) -> list[Device]:
        async with self.read() as session:
            rows = await session.fetch(
                "SELECT device_id, display_name, last_seen_ts, last_seen_ip FROM users.device"
                " WHERE lane = %s::smallint AND user_id = %s ORDER BY device_id",
                (self.lane(user_id), user_id),
            )
        return [Device(user_id, *row) for row in rows]

    async def device(self, user_id: str, device_id: str) -> Device | None:
        async with self.read() as session:
            row = await session.one(
                "SELECT device_id, display_name, last_seen_ts, last_seen_ip FROM users.device"
                " WHERE lane = %s::smallint AND user_id = %s AND device_id = %s",
                (self.lane(user_id), user_id, device_id),
            )
        return None if row is None else Device(user_id, *row)

    async def rename_device(self, user_id: str, device_id: str, display_name: str | None) -> bool:
        """False if there is no such device."""
        lane = self.lane(user_id)
        [(result, position)] = await self.db.call(
            "SELECT * FROM users.rename_device(%s::smallint, %s, %s, %s)",
            (lane, user_id, device_id, display_name),
        )
        if position is not None:
            await self.tell(user_id, lane, position, [(UserFact.DEVICE_LIST, b"")])
        return bool(result == "ok")

    async def delete_devices(self, user_id: str, device_ids: Sequence[str]) -> list[str]:
        """Delete those that exist, with their tokens, keys and inbox; which ones these were."""
        return await self._delete(user_id, list(device_ids))

    async def logout(self, user_id: str, device_id: str) -> None:
        """Delete the device: its tokens stop working everywhere within a second."""
        await self._delete(user_id, [device_id])

    async def logout_all(self, user_id: str) -> None:
        await self._delete(user_id, None)

    async def _delete(self, user_id: str, device_ids: list[str] | None) -> list[str]:
        lane = self.lane(user_id)
        [(deleted, had_keys, position)] = await self.db.call(
            "SELECT * FROM users.delete_devices(%s::smallint, %s, %s::text[], NULL)",
            (lane, user_id, device_ids),
        )
        if position is not None:
            await self.tell(user_id, lane, position, facts_of_deletion(deleted, had_keys))
        return list(deleted)


def facts_of_deletion(deleted: Sequence[str], had_keys: bool) -> list[tuple[UserFact, bytes]]:
    """The facts that the function ``users.delete_devices`` has written, in its order."""
    facts = [(UserFact.REVOKED, device_id.encode()) for device_id in deleted]
    if had_keys:
        facts.append((UserFact.DEVICE_LIST, b""))
    return facts
