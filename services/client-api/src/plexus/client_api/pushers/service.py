"""Setting pushers.

Only those of kind ``http`` are offered. One kind that is not known here could never notify anybody, so it is
refused rather than kept.

Client-Server API, ``postPusher``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import orjson
from plexus.client_api.deps import ClientApi
from plexus.client_api.pushers.models import MAX_DATA_BYTES, PusherRequest
from plexus.platform.http import Requester
from plexus.protocol.errors import Forbidden, InvalidParam, MissingParam
from plexus.users import Pusher

NOTIFY_PATH = "/_matrix/push/v1/notify"
FORMATS = ("event_id_only",)


async def list_pushers(api: ClientApi, user_id: str) -> list[dict[str, Any]]:
    return [_shown(pusher) for pusher in await api.users.pushers(user_id)]


async def set_pusher(api: ClientApi, requester: Requester, body: PusherRequest) -> None:
    """Make, change or delete a pusher; without ``append`` nobody else keeps its pushkey."""
    user_id = requester.user_id
    if body.kind is None:
        await api.users.delete_pusher(user_id, body.app_id, body.pushkey)
        return
    if requester.device_id is None:
        raise Forbidden("A pusher belongs to a device, and this access token has none")
    pusher = _read(body, plain_http=api.platform.settings.push.plain_http)
    # First: if this ends in between, the client has no answer and asks again.
    if not body.append:
        await api.users.delete_pushers_of_others(user_id, pusher.app_id, pusher.pushkey)
    await api.users.put_pusher(user_id, requester.device_id, pusher)


def _read(body: PusherRequest, *, plain_http: bool) -> Pusher:
    wanted = ("app_display_name", "device_display_name", "lang", "data")
    missing = [name for name in wanted if getattr(body, name) is None]
    if missing:
        raise MissingParam(f"Missing parameters: {', '.join(missing)}")
    if body.kind != "http":
        raise InvalidParam("Only pushers of kind http are offered")
    data = body.data or {}
    _check_data(data, plain_http=plain_http)
    return Pusher(
        body.app_id,
        body.pushkey,
        body.kind,
        body.app_display_name or "",
        body.device_display_name or "",
        body.profile_tag,
        body.lang or "",
        data,
    )


def _check_data(data: Mapping[str, Any], *, plain_http: bool) -> None:
    """``PusherData`` of a pusher of kind ``http``."""
    url = data.get("url")
    if url is None:
        raise MissingParam("Missing parameters: data.url")
    if not isinstance(url, str) or not _is_gateway(url, plain_http=plain_http):
        raise InvalidParam(f"data.url must be an https address with the path {NOTIFY_PATH}")
    if data.get("format", FORMATS[0]) not in FORMATS:
        raise InvalidParam(f"data.format is one of: {', '.join(FORMATS)}")
    try:
        size = len(orjson.dumps(data))
    except orjson.JSONEncodeError:
        raise InvalidParam(
            "data cannot be kept: it is not valid Unicode, or has numbers out of range"
        ) from None
    if size > MAX_DATA_BYTES:
        raise InvalidParam(f"data has at most {MAX_DATA_BYTES} bytes")


def _is_gateway(url: str, *, plain_http: bool) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    schemes = ("https", "http") if plain_http else ("https",)
    return (
        url.isascii()
        and url.isprintable()
        and " " not in url
        and parts.scheme in schemes
        and bool(parts.hostname)
        and parts.username is None
        and parts.path == NOTIFY_PATH
        and not parts.fragment
    )


def _shown(pusher: Pusher) -> dict[str, Any]:
    shown = {
        "app_id": pusher.app_id,
        "pushkey": pusher.pushkey,
        "kind": pusher.kind,
        "app_display_name": pusher.app_display_name,
        "device_display_name": pusher.device_display_name,
        "lang": pusher.lang,
        "data": pusher.data,
    }
    if pusher.profile_tag is not None:
        shown["profile_tag"] = pusher.profile_tag
    return shown
