"""Reading and editing a user's push rules."""

from __future__ import annotations

from typing import Any

from plexus.client_api.deps import ClientApi
from plexus.protocol.push_rules import Overlay, find_rule, read_actions, read_enabled

Json = dict[str, Any]


async def get_rule(api: ClientApi, user_id: str, kind: str, rule_id: str) -> Json:
    return find_rule(await api.users.push_overlay(user_id), user_id, kind, rule_id)


async def put_rule(
    api: ClientApi, user_id: str, kind: str, rule_id: str, body: Json, before: str | None, after: str | None
) -> None:
    def edit(overlay: Overlay) -> Overlay:
        return overlay.put_rule(kind, rule_id, body, before, after)

    await api.users.edit_push_rules(user_id, edit)


async def delete_rule(api: ClientApi, user_id: str, kind: str, rule_id: str) -> None:
    await api.users.edit_push_rules(user_id, lambda overlay: overlay.delete_rule(kind, rule_id))


async def set_enabled(api: ClientApi, user_id: str, kind: str, rule_id: str, body: Json) -> None:
    enabled = read_enabled(body)
    await api.users.edit_push_rules(user_id, lambda overlay: overlay.set_enabled(kind, rule_id, enabled))


async def set_actions(api: ClientApi, user_id: str, kind: str, rule_id: str, body: Json) -> None:
    actions = read_actions(body)
    await api.users.edit_push_rules(user_id, lambda overlay: overlay.set_actions(kind, rule_id, actions))
