"""plexus.protocol.visibility"""

from __future__ import annotations

from itertools import product

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


MEMBERSHIPS = (None, "invite", "join", "leave", "ban", "knock")

VISIBLE: dict[HistoryVisibility, tuple[set[str | None], set[str | None]]] = {
    # visibility: memberships that see the event; those that see it if the user joins later
    "world_readable": (set(MEMBERSHIPS), set(MEMBERSHIPS)),
    "shared": ({"join"}, set(MEMBERSHIPS)),
    "invited": ({"join", "invite"}, {"join", "invite"}),
    "joined": ({"join"}, {"join"}),
}
SETTINGS: list[HistoryVisibility] = ["world_readable", "shared", "invited", "joined"]


def sees(visibility: HistoryVisibility, membership: str | None, joined_later: bool) -> bool:
    return membership in VISIBLE[visibility][joined_later]


@pytest.mark.parametrize(
    ("visibility", "membership", "joined_later"), list(product(SETTINGS, MEMBERSHIPS, (False, True)))
)
def test_every_case(visibility: HistoryVisibility, membership: str | None, joined_later: bool) -> None:
    expected = sees(visibility, membership, joined_later)
    assert may_see(visibility, membership, joined_later=joined_later) is expected


@pytest.mark.parametrize(("before", "after"), list(product(SETTINGS, SETTINGS)))
def test_a_change_of_visibility_is_seen_from_both_sides(
    before: HistoryVisibility, after: HistoryVisibility
) -> None:
    for membership, later in product(MEMBERSHIPS, (False, True)):
        expected = sees(before, membership, later) or sees(after, membership, later)
        assert may_see_visibility_change(before, after, membership, joined_later=later) is expected
        assert may_see_visibility_change(after, before, membership, joined_later=later) is expected


@pytest.mark.parametrize(("before", "after"), list(product(MEMBERSHIPS, MEMBERSHIPS)))
def test_own_memberships_are_seen_from_both_sides(before: str | None, after: str | None) -> None:
    for visibility, later in product(SETTINGS, (False, True)):
        expected = sees(visibility, before, later) or sees(visibility, after, later)
        assert may_see_own_membership(visibility, before, after, joined_later=later) is expected


def test_what_the_specification_says_of_transitions() -> None:
    # "a user should be able to see events which change the history_visibility from world_readable to joined
    # or from joined to world_readable, even if that user was not a member of the room"
    assert may_see_visibility_change("world_readable", "joined", None, joined_later=False)
    assert may_see_visibility_change("joined", "world_readable", None, joined_later=False)
    assert not may_see_visibility_change("joined", "invited", None, joined_later=True)
    # "a user can always see events which set their membership to join, or which change it from join to any
    # other value, even if history_visibility is joined"
    for other, visibility in product(MEMBERSHIPS, SETTINGS):
        assert may_see_own_membership(visibility, other, "join", joined_later=False)
        assert may_see_own_membership(visibility, "join", other, joined_later=False)
    # With "invited" a refused invitation ends what the invitation had opened, and is itself still seen.
    assert may_see_own_membership("invited", "invite", "leave", joined_later=False)
    assert not may_see("invited", "leave", joined_later=True)
    assert not may_see_own_membership("joined", "invite", "leave", joined_later=False)


def test_what_is_not_understood_is_shared() -> None:
    assert history_visibility_of({"history_visibility": "joined"}) == "joined"
    unclear: list[object] = [None, {}, {"history_visibility": "mine"}, {"history_visibility": []}]
    for content in unclear:
        assert history_visibility_of(content) == "shared"
