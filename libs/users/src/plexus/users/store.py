"""What every feature stands on: the database, the lanes, and the way to tell others of a change."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

from plexus.platform.context import Platform
from plexus.platform.lanes import USER, Fact, Group, UserFact
from plexus.platform.postgres import ReadSession
from plexus.platform.telemetry import published, traced_request, traceparent_of
from plexus.protocol.identifiers import parse_user_id
from plexus.users.erased import ErasedUsers
from plexus.users.member_rules import MemberRules
from plexus.users.passwords import PasswordHasher
from plexus.users.token_cache import TokenCache


class UserStore:
    """The base of the features that `Users` joins."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.db = platform.db
        self.clock = platform.clock
        self.settings = platform.settings
        self.tokens = TokenCache(platform.clock, platform.settings.sessions.token_cache_entries)
        self.member_rules = MemberRules(
            platform.db, self.lane, threads=platform.settings.push.thread_subscriptions
        )
        self.erased = ErasedUsers(platform.db, self.lane, self.is_local)
        self.hasher = PasswordHasher(platform.settings.passwords)

    def lane(self, user_id: str) -> int:
        return self.platform.lanes.user(user_id)

    def is_local(self, user_id: str) -> bool:
        parts = parse_user_id(user_id)
        return parts is not None and parts[1] == self.settings.server_name

    def read(self) -> AbstractAsyncContextManager[ReadSession]:
        """Reads go to the primary: who has just written must see it, also through an endpoint without a
        token, and a follower may know of a fact that a replica does not have yet.
        """
        return self.db.read(primary=True)

    async def tell(
        self, user_id: str, lane: int, first: int, facts: Sequence[tuple[UserFact, bytes]]
    ) -> None:
        """After the commit: publish what `users.tell` has written from position ``first`` on, drop what this
        process knows of revoked tokens, and leave the user's mark, which the reply must wait for.
        """
        self.publish(
            lane,
            tuple(
                Fact(first + offset, kind, user_id, data=data) for offset, (kind, data) in enumerate(facts)
            ),
        )
        await self.platform.marks.set(user_id, {(USER, lane): first + len(facts) - 1})

    def publish(self, lane: int, facts: tuple[Fact, ...]) -> None:
        self.tokens.see(facts)
        self.member_rules.see(facts)
        self.erased.see(facts)
        request = traced_request()
        span = None if request is None else published(request, USER, lane, len(facts))
        parent = None if span is None else traceparent_of(span)
        self.platform.fanout.publish(Group(self.platform.log.generation(), USER, lane, facts, parent))
        if span is not None:
            span.end()
