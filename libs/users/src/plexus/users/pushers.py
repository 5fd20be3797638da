"""Pushers: where the devices of a user want to hear of notifications.

A pusher is named by its app ID and pushkey, and belongs to the device that set it last: it goes with that
device, so with a logout, a change of the password that logs out, and the end of the account.

Client-Server API, "Push Notifications".
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from plexus.protocol.errors import InvalidParam, UnknownToken
from plexus.protocol.push_rules import Overlay
from plexus.users.store import UserStore

MAX_PUSHERS = 100
"""Of one user; the specification sets no limit."""


@dataclass(frozen=True, slots=True)
class Pusher:
    """``data`` has the ``url`` of the push gateway, the ``format``, and what else the client wants told."""

    app_id: str
    pushkey: str
    kind: str
    app_display_name: str
    device_display_name: str
    profile_tag: str | None
    lang: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class UserPushers:
    """The pushers of a user, and the actions of default push rules that the user has changed, by rule ID."""

    pushers: Sequence[Pusher]
    actions: Mapping[str, Sequence[Any]]


_ALL = """
SELECT app_id, pushkey, kind, app_display_name, device_display_name, profile_tag, lang, data
  FROM users.pusher WHERE lane = %s::smallint AND user_id = %s ORDER BY app_id, pushkey
"""

_OF_USERS = """
SELECT q.user_id, r.rules, p.app_id, p.pushkey, p.kind, p.app_display_name, p.device_display_name,
       p.profile_tag, p.lang, p.data
  FROM unnest(%s::smallint[], %s::text[]) AS q (lane, user_id)
  JOIN users.pusher p ON p.lane = q.lane AND p.user_id = q.user_id
  LEFT JOIN users.push_rules r ON r.lane = q.lane AND r.user_id = q.user_id
"""


class PusherStore(UserStore):
    async def has_pushers(self) -> bool:
        """Whether anybody has one."""
        return bool(await self.db.call("SELECT true FROM users.pusher LIMIT 1"))

    async def pusher(self, user_id: str, app_id: str, pushkey: str) -> Pusher | None:
        for pusher in await self.pushers(user_id):
            if (pusher.app_id, pusher.pushkey) == (app_id, pushkey):
                return pusher
        return None

    async def pushers_of(self, user_ids: Collection[str]) -> dict[str, UserPushers]:
        """The pushers of those of these users who have any. One query."""
        if not user_ids:
            return {}
        users = list(user_ids)
        async with self.read() as session:
            rows = await session.fetch(_OF_USERS, ([self.lane(user) for user in users], users))
        found: dict[str, list[Pusher]] = {}
        actions: dict[str, Mapping[str, Sequence[Any]]] = {}
        for user_id, rules, *columns in rows:
            found.setdefault(user_id, []).append(_pusher(*columns))
            if rules is not None and user_id not in actions:
                overlay = Overlay.from_json(orjson.loads(rules))
                actions[user_id] = {rule_id: each for (_, rule_id), each in overlay.actions.items()}
        return {user: UserPushers(pushers, actions.get(user, {})) for user, pushers in found.items()}

    async def pushers(self, user_id: str) -> list[Pusher]:
        async with self.read() as session:
            rows = await session.fetch(_ALL, (self.lane(user_id), user_id))
        return [_pusher(*row) for row in rows]

    async def put_pusher(self, user_id: str, device_id: str, pusher: Pusher) -> None:
        """Make it, or change it; it belongs to this device from now on. `UnknownToken` if the device is
        gone.
        """
        [(result,)] = await self.db.call(
            "SELECT users.put_pusher(%s::smallint, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s::integer)",
            (
                self.lane(user_id),
                user_id,
                device_id,
                pusher.app_id,
                pusher.pushkey,
                pusher.kind,
                pusher.app_display_name,
                pusher.device_display_name,
                pusher.profile_tag,
                pusher.lang,
                orjson.dumps(pusher.data).decode(),
                MAX_PUSHERS,
            ),
        )
        if result == "unknown":
            raise UnknownToken
        if result == "full":
            raise InvalidParam(f"A user has at most {MAX_PUSHERS} pushers")

    async def delete_pusher(self, user_id: str, app_id: str, pushkey: str) -> None:
        """Nothing happens if there is none."""
        await self._remove_pushers(self.lane(user_id), [user_id], app_id, pushkey)

    async def delete_pushers_of_others(self, user_id: str, app_id: str, pushkey: str) -> None:
        """Take this pushkey of the app away from all other users: who holds the phone has changed."""
        async with self.read() as session:
            rows = await session.fetch(
                "SELECT lane, array_agg(user_id) FROM users.pusher"
                " WHERE pushkey = %s AND app_id = %s AND user_id <> %s GROUP BY lane",
                (pushkey, app_id, user_id),
            )
        for lane, user_ids in rows:
            await self._remove_pushers(lane, user_ids, app_id, pushkey)

    async def _remove_pushers(self, lane: int, user_ids: list[str], app_id: str, pushkey: str) -> None:
        await self.db.call(
            "DELETE FROM users.pusher WHERE lane = %s::smallint AND user_id = ANY (%s::text[])"
            " AND app_id = %s AND pushkey = %s RETURNING 1",
            (lane, user_ids, app_id, pushkey),
        )


def _pusher(
    app_id: str, pushkey: str, kind: str, app: str, device: str, tag: str | None, lang: str, data: str
) -> Pusher:
    return Pusher(app_id, pushkey, kind, app, device, tag, lang, orjson.loads(data))
