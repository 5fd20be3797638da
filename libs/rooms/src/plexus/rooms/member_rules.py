"""The port through which a room write gets the push rules of the room's members.

Whoever composes the room engine says where they come from (`plexus.users` keeps them); without anything
everybody has the default rules.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from plexus.protocol.push_evaluation import PushRules


class MemberRules(Protocol):
    @property
    def version(self) -> int:
        """Another number whenever rules that `of` gave may have changed."""
        ...

    async def of(self, user_ids: Collection[str]) -> Mapping[str, PushRules]:
        """The rules of those of these users who have not the default ones."""
        ...


class DefaultRules:
    """Everybody has the default rules."""

    version = 0

    async def of(self, user_ids: Collection[str]) -> Mapping[str, PushRules]:
        return {}
