"""Keys of devices: identity keys, one-time keys, fallback keys. What a key must look like is for the keys
service.

Client-Server API, "End-to-End Encryption", "Key management API".
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson
from plexus.platform.lanes import USER, Fact, UserFact
from plexus.protocol.errors import InvalidParam, TooLarge, UnknownToken
from plexus.users.models import KeyCounts, OneTimeKey
from plexus.users.store import UserStore

MAX_ONE_TIME_KEYS = 1000
"""Of one device. Clients keep about 50 to 100."""


class KeyStore(UserStore):
    async def upload_keys(
        self,
        user_id: str,
        device_id: str,
        device_keys: bytes | None,
        one_time: Sequence[OneTimeKey] = (),
        fallback: Sequence[OneTimeKey] = (),
    ) -> dict[str, int]:
        """Store keys of one device, all or nothing; the one-time keys it has by algorithm.

        JSON in canonical form. `InvalidParam` if a one-time key of the same ID stands with another value,
        `TooLarge` for too many, `UnknownToken` if the device has just been deleted.
        """
        lane = self.lane(user_id)
        [row] = await self.db.call(
            "SELECT * FROM users.upload_keys(%s::smallint, %s, %s, %s, %s::text[], %s::text[], %s::bytea[],"
            " %s::text[], %s::text[], %s::bytea[], %s, %s::integer)",
            (
                lane,
                user_id,
                device_id,
                device_keys,
                *_columns(one_time),
                *_columns(fallback),
                self.clock.now_ms(),
                MAX_ONE_TIME_KEYS,
            ),
        )
        result, conflict, algorithms, counts, told_devices, told_counts, position = row
        if result == "changed":
            raise InvalidParam(f"The one-time key {conflict} is there already, with another value")
        if result == "too_many":
            raise TooLarge(f"A device has at most {MAX_ONE_TIME_KEYS} one-time keys")
        if result != "ok":
            raise UnknownToken
        facts = []
        if told_devices:
            facts.append((UserFact.DEVICE_LIST, b""))
        if told_counts:
            facts.append((UserFact.KEY_COUNTS, device_id.encode()))
        if facts:
            await self.tell(user_id, lane, position, facts)
        return dict(zip(algorithms, counts, strict=True))

    async def query_keys(self, wanted: Mapping[str, Sequence[str]]) -> dict[str, dict[str, dict[str, Any]]]:
        """The identity keys of devices of local users, by user and device; an empty list asks for all. A
        user without keys has an empty dict, one without an account is missing. Each
        with ``unsigned.device_display_name`` where the device has a name.
        """
        users = list(wanted)
        async with self.read() as session:
            rows = await session.fetch(
                "SELECT a.user_id, k.device_id, k.keys, d.display_name"
                " FROM unnest(%s::smallint[], %s::text[]) AS w (lane, user_id)"
                " JOIN users.account a ON a.lane = w.lane AND a.user_id = w.user_id"
                " LEFT JOIN (users.device_key k"
                "   JOIN users.device d USING (lane, user_id, device_id))"
                " ON k.lane = a.lane AND k.user_id = a.user_id",
                ([self.lane(user_id) for user_id in users], users),
            )
        found: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
        for user_id, device_id, stored, display_name in rows:
            devices = found[user_id]
            if device_id is None or (wanted[user_id] and device_id not in wanted[user_id]):
                continue
            keys = orjson.loads(stored)
            if display_name is not None:
                keys["unsigned"] = {"device_display_name": display_name}
            devices[device_id] = keys
        return dict(found)

    async def claim_keys(self, wanted: Iterable[tuple[str, str, str]]) -> dict[tuple[str, str], OneTimeKey]:
        """For each (user, device, algorithm) one key, given away once, or the fallback key; by user and
        device. One transaction a lane.
        """
        lanes: dict[int, list[tuple[str, str, str]]] = defaultdict(list)
        for wish in wanted:
            lanes[self.lane(wish[0])].append(wish)
        claimed: dict[tuple[str, str], OneTimeKey] = {}
        for lane, wishes in lanes.items():
            # In one order for everybody, so that two claims wait for one another and do not deadlock.
            wishes.sort()
            rows = await self.db.call(
                "SELECT * FROM users.claim_keys(%s::smallint, %s::text[], %s::text[], %s::text[])",
                (lane, *([wish[column] for wish in wishes] for column in range(3))),
            )
            told: list[Fact] = []
            for number, key_id, key, is_told, position in rows:
                user_id, device_id, algorithm = wishes[number - 1]
                claimed[user_id, device_id] = OneTimeKey(algorithm, key_id, key)
                if is_told:
                    told.append(
                        Fact(position + len(told), UserFact.KEY_COUNTS, user_id, data=device_id.encode())
                    )
            if told:
                self.publish(lane, tuple(told))
                for fact in told:
                    await self.platform.marks.set(fact.subject, {(USER, lane): fact.position})
        return claimed

    async def key_counts(self, user_id: str, device_id: str) -> KeyCounts:
        """For a sync: one-time keys by algorithm, and the algorithms whose fallback key is unused. The fact
        KEY_COUNTS says when to ask again.
        """
        async with self.read() as session:
            rows = await session.fetch(
                "SELECT algorithm, count(*), false FROM users.one_time_key"
                " WHERE lane = %(lane)s::smallint AND user_id = %(user_id)s AND device_id = %(device_id)s"
                " GROUP BY algorithm UNION ALL SELECT algorithm, 0, true FROM users.fallback_key"
                " WHERE lane = %(lane)s::smallint AND user_id = %(user_id)s AND device_id = %(device_id)s"
                " AND NOT used",
                {"lane": self.lane(user_id), "user_id": user_id, "device_id": device_id},
            )
        return KeyCounts(
            {algorithm: count for algorithm, count, is_fallback in rows if not is_fallback},
            sorted(algorithm for algorithm, _, is_fallback in rows if is_fallback),
        )

    async def device_list_changes(self, after: Sequence[int], upto: Sequence[int]) -> set[str] | None:
        """Users whose devices or keys changed within ``after < position <= upto`` of each user lane. None if
        facts that old are dropped: then anybody may have changed. One query.
        """
        async with self.read() as session:
            rows = await session.fetch(
                "SELECT f.subject, l.floor > w.after FROM unnest(%s::smallint[], %s::bigint[], %s::bigint[])"
                " AS w (lane, after, upto)"
                " JOIN lanes.lane l ON l.family = 'u' AND l.lane = w.lane"
                " LEFT JOIN lanes.fact f ON f.family = 'u' AND f.lane = w.lane AND f.position > w.after"
                " AND f.position <= w.upto AND f.kind = 3"
                " GROUP BY 1, 2",
                (list(range(len(after))), list(after), list(upto)),
            )
        if any(dropped for _, dropped in rows):
            return None
        return {subject for subject, _ in rows if subject is not None}


def _columns(keys: Sequence[OneTimeKey]) -> tuple[list[str], list[str], list[bytes]]:
    return (
        [key.algorithm for key in keys],
        [key.key_id for key in keys],
        [key.json for key in keys],
    )
