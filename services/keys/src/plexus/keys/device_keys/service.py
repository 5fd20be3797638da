"""Uploading, asking for and claiming keys of devices; for users of this server only, as yet."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson
from plexus.keys.deps import Keys
from plexus.keys.device_keys.checks import read_device_keys, read_fallback_keys, read_one_time_keys
from plexus.keys.device_keys.models import KeysClaim, KeysQuery, KeysUpload
from plexus.platform.http import Requester
from plexus.protocol.errors import InvalidParam
from plexus.protocol.identifiers import check_user_id, server_of

Json = dict[str, Any]


async def upload(keys: Keys, requester: Requester, body: KeysUpload) -> Json:
    """Store what is given; the number of one-time keys there are then."""
    if requester.device_id is None:
        raise InvalidParam("This access token has no device")
    device_keys = (
        read_device_keys(body.device_keys, requester.user_id, requester.device_id)
        if body.device_keys
        else None
    )
    counts = await keys.users.upload_keys(
        requester.user_id,
        requester.device_id,
        device_keys,
        read_one_time_keys(body.one_time_keys or {}, "one_time_keys"),
        read_fallback_keys(body.fallback_keys or {}),
    )
    return {"one_time_key_counts": counts}


async def query(keys: Keys, body: KeysQuery) -> Json:
    """The keys of devices by user and device. A user without devices has an empty object, a user who does not
    exist none.
    """
    local, failures = _by_server(keys, body.device_keys)
    wanted = {user_id: body.device_keys[user_id] for user_id in local}
    return {"device_keys": await keys.users.query_keys(wanted), "failures": failures}


async def claim(keys: Keys, body: KeysClaim) -> Json:
    """A key for each device that has one of the algorithm asked for."""
    local, failures = _by_server(keys, body.one_time_keys)
    wishes = [
        (user_id, device_id, algorithm)
        for user_id in local
        for device_id, algorithm in body.one_time_keys[user_id].items()
        if "\0" not in device_id and "\0" not in algorithm
    ]
    answer: dict[str, Json] = {}
    for (user_id, device_id), key in (await keys.users.claim_keys(wishes)).items():
        answer.setdefault(user_id, {})[device_id] = {f"{key.algorithm}:{key.key_id}": orjson.loads(key.json)}
    return {"one_time_keys": answer, "failures": failures}


def _by_server(keys: Keys, user_ids: Iterable[str]) -> tuple[list[str], Json]:
    """The users of this server, and the failures: servers of the others, which cannot be asked yet."""
    local, failures = [], {}
    for user_id in user_ids:
        check_user_id(user_id)
        if keys.users.is_local(user_id):
            local.append(user_id)
        else:
            failures[server_of(user_id)] = {"status": 503, "message": "This server does not federate yet"}
    return local, failures
