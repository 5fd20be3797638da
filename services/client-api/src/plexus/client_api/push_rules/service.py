"""Reading and editing a user's push rules."""

from __future__ import annotations

from typing import Any

from plexus.client_api.deps import ClientApi
from plexus.protocol.errors import InvalidParam
from plexus.protocol.predefined_push_rules import POSTCONTENT
from plexus.protocol.push_rules import Overlay, find_rule, read_actions, read_enabled

Json = dict[str, Any]


async def get_rule(api: ClientApi, user_id: str, kind: str, rule_id: str) -> Json:
    overlay = await api.users.push_overlay(user_id)
    return find_rule(overlay, user_id, _kind(api, kind), rule_id, threads=_threads(api))


async def put_rule(
    api: ClientApi, user_id: str, kind: str, rule_id: str, body: Json, before: str | None, after: str | None
) -> None:
    known = _kind(api, kind)

    def edit(overlay: Overlay) -> Overlay:
        return overlay.put_rule(known, rule_id, body, before, after)

    await api.users.edit_push_rules(user_id, edit)


async def delete_rule(api: ClientApi, user_id: str, kind: str, rule_id: str) -> None:
    known = _kind(api, kind)
    await api.users.edit_push_rules(user_id, lambda overlay: overlay.delete_rule(known, rule_id))


async def set_enabled(api: ClientApi, user_id: str, kind: str, rule_id: str, body: Json) -> None:
    enabled = read_enabled(body)
    known = _kind(api, kind)
    await api.users.edit_push_rules(user_id, lambda overlay: overlay.set_enabled(known, rule_id, enabled))


async def set_actions(api: ClientApi, user_id: str, kind: str, rule_id: str, body: Json) -> None:
    actions = read_actions(body)
    known = _kind(api, kind)
    await api.users.edit_push_rules(user_id, lambda overlay: overlay.set_actions(known, rule_id, actions))


def _threads(api: ClientApi) -> bool:
    return api.platform.settings.push.thread_subscriptions


def _kind(api: ClientApi, kind: str) -> str:
    """The kind, if it is one here: `InvalidParam` for that of thread subscriptions where there are none."""
    if kind == POSTCONTENT and not _threads(api):
        raise InvalidParam(f"{kind!r} is not a kind of push rule")
    return kind
