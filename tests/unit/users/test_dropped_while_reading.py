"""What is known of some users, while others are read: a fact that comes in between takes nothing away."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

from plexus.platform.lanes import Fact, UserFact
from plexus.platform.postgres import Database
from plexus.users.erased import ErasedUsers
from plexus.users.member_rules import MemberRules

ALICE, BOB = "@alice:x", "@bob:x"


class Tables:
    """A database whose answer is always the same, and which lets something happen before it gives it."""

    def __init__(self) -> None:
        self.rows: list[tuple[Any, ...]] = []
        self.meanwhile: Callable[[], None] = lambda: None

    @asynccontextmanager
    async def read(self, **_: object) -> AsyncIterator[Tables]:
        yield self

    async def fetch(self, *_: object) -> Sequence[tuple[Any, ...]]:
        self.meanwhile()
        return self.rows


async def test_who_is_erased() -> None:
    tables = Tables()
    erased = ErasedUsers(cast(Database, tables), lambda _: 1, lambda _: True)
    tables.rows = [(ALICE,)]
    assert await erased.among([ALICE]) == {ALICE}
    tables.rows = []
    tables.meanwhile = lambda: erased.see([Fact(1, UserFact.DEACTIVATED, ALICE)])
    assert await erased.among([ALICE, BOB]) == {ALICE}


async def test_whose_push_rules_are_their_own() -> None:
    tables = Tables()
    rules = MemberRules(cast(Database, tables), lambda _: 1)
    tables.rows = [(ALICE, None, b'{"ignored_users":{"@mallory:x":{}}}')]
    own = await rules.of([ALICE])
    assert own.keys() == {ALICE}
    tables.rows = []
    tables.meanwhile = lambda: rules.see([Fact(1, UserFact.PUSH_RULES, ALICE)])
    assert await rules.of([ALICE, BOB]) == own
