"""The tags of a room are one piece of account data, ``m.tag``, changed a tag at a time.

Two devices that tag one room at once keep both tags: who comes second makes the change upon the other's.
"""

from __future__ import annotations

from typing import Any, Final

import orjson
from plexus.client_api.deps import ClientApi

M_TAG: Final = "m.tag"


async def get(api: ClientApi, user_id: str, room_id: str) -> dict[str, Any]:
    """The tags by name; none if the user has set none."""
    content = await api.users.account_data(user_id, M_TAG, room_id)
    return {} if content is None else _tags(orjson.loads(content))


async def put(api: ClientApi, user_id: str, room_id: str, tag: str, content: dict[str, Any]) -> None:
    """Set one tag, whether or not it was there."""

    def edit(stored: dict[str, Any]) -> dict[str, Any]:
        return {**stored, "tags": {**_tags(stored), tag: content}}

    await api.users.edit_account_data(user_id, M_TAG, edit, room_id)


async def delete(api: ClientApi, user_id: str, room_id: str, tag: str) -> None:
    """Remove one tag, also if it is not there."""

    def edit(stored: dict[str, Any]) -> dict[str, Any]:
        tags = _tags(stored)
        if tag not in tags:
            return stored
        return {**stored, "tags": {name: content for name, content in tags.items() if name != tag}}

    await api.users.edit_account_data(user_id, M_TAG, edit, room_id)


def _tags(content: dict[str, Any]) -> dict[str, Any]:
    # Clients may also set m.tag as a whole, and then it says what they like.
    tags = content.get("tags")
    if not isinstance(tags, dict):
        return {}
    return {name: tag for name, tag in tags.items() if isinstance(tag, dict)}
