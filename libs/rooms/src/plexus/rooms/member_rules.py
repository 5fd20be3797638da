"""The port through which a room write gets the push rules of the room's members.

Whoever composes the room engine says where they come from (`plexus.users` keeps them); without anything
everybody has the default rules.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from plexus.protocol.push_evaluation import DEFAULT_PUSH_RULES, PushRules


class MemberRules(Protocol):
    @property
    def default(self) -> PushRules:
        """The rules of who changed nothing."""
        ...

    @property
    def threads(self) -> bool:
        """Whether rules speak of thread subscriptions."""
        ...

    @property
    def version(self) -> int:
        """Another number whenever rules that `of` gave may have changed."""
        ...

    async def of(self, user_ids: Collection[str]) -> Mapping[str, PushRules]:
        """The rules of those of these users who have not the default ones."""
        ...

    async def subscribers(self, room_id: str, roots: Collection[str]) -> Mapping[str, frozenset[str]]:
        """Who of this server is subscribed to each of these threads of a room."""
        ...


class DefaultRules:
    """Everybody has the default rules."""

    version = 0
    default = DEFAULT_PUSH_RULES
    threads = False

    async def of(self, user_ids: Collection[str]) -> Mapping[str, PushRules]:
        return {}

    async def subscribers(self, room_id: str, roots: Collection[str]) -> Mapping[str, frozenset[str]]:
        return dict.fromkeys(roots, frozenset())
