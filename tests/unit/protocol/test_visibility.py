"""plexus.protocol.visibility"""

from __future__ import annotations

import pytest
from plexus.protocol.visibility import (
    HistoryVisibility,
    history_visibility_of,
    may_see,
    may_see_own_membership,
    may_see_visibility_change,
)


@pytest.mark.parametrize(
    ("visibility", "never", "invited", "joined", "joins_later"),
    [
        ("world_readable", True, True, True, True),
        ("shared", False, False, True, True),
        ("invited", False, True, True, False),
        ("joined", False, False, True, False),
    ],
)
def test_the_table(
    visibility: HistoryVisibility, never: bool, invited: bool, joined: bool, joins_later: bool
) -> None:
    assert may_see(visibility, None, joined_later=False) is never
    assert may_see(visibility, "ban", joined_later=False) is never
    assert may_see(visibility, "leave", joined_later=False) is never
    assert may_see(visibility, "invite", joined_later=False) is invited
    assert may_see(visibility, "join", joined_later=False) is joined
    assert may_see(visibility, "leave", joined_later=True) is joins_later


def test_a_change_of_visibility_is_seen_from_both_sides() -> None:
    assert may_see_visibility_change("world_readable", "joined", None, joined_later=False)
    assert may_see_visibility_change("joined", "world_readable", None, joined_later=False)
    assert not may_see_visibility_change("joined", "invited", None, joined_later=True)


def test_own_memberships_are_seen_from_both_sides() -> None:
    assert may_see_own_membership("joined", None, "join", joined_later=False)
    assert may_see_own_membership("joined", "join", "ban", joined_later=False)
    assert not may_see_own_membership("joined", "invite", "leave", joined_later=False)


def test_what_is_not_understood_is_shared() -> None:
    assert history_visibility_of({"history_visibility": "joined"}) == "joined"
    unclear: list[object] = [None, {}, {"history_visibility": "mine"}, {"history_visibility": []}]
    for content in unclear:
        assert history_visibility_of(content) == "shared"
