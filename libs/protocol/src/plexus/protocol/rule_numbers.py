"""The authorisation rules by name, and the number that each has on its room version's page.

The specification numbers its rules by where they stand, and a rule that comes or goes moves those after it:
"the sender is in the room" is rule 6 of version 1, 5 of version 6, and 6 again of version 12. So a check
knows its rule by a name that never changes, such as ``member.join.banned``, and the number is looked up when
an event is refused.

An `Outline` is such a page without its words: the names in the order of the page, indented as its lists are.
The number of a rule follows from its place, and the outline of a version is that of the version before with
some rules put in or taken out. ``allow`` and ``otherwise`` stand for the closing lines of a list.

https://spec.matrix.org/latest/rooms/ ("Authorisation rules" of each version).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeAlias

Outline: TypeAlias = tuple[str, ...]
"""Names of rules with the names of the lists around them before: ``member``, ``member.join``, and so on."""


def outline(text: str, under: str = "") -> Outline:
    """Read an indented list of names; all of them below the rule ``under``, if given."""
    way = [under] if under else []
    base = len(way)
    found = []
    for line in text.strip("\n").splitlines():
        depth = base + (len(line) - len(line.lstrip())) // 2
        way[depth:] = [line.strip()]
        found.append(".".join(way))
    return tuple(found)


def put_in(page: Outline, rules: Outline, *, before: str) -> Outline:
    """The page with ``rules`` put in before another rule."""
    at = page.index(before)
    return page[:at] + rules + page[at:]


def taken_out(page: Outline, rule: str) -> Outline:
    """The page without a rule and everything below it."""
    left = tuple(name for name in page if name != rule and not name.startswith(rule + "."))
    if len(left) == len(page):
        raise KeyError(rule)
    return left


def numbers(page: Outline) -> Mapping[str, str]:
    """The number of each rule, such as ``5.3.2``."""
    count: dict[str, int] = {}
    found = {"": ""}
    for name in page:
        above = name.rpartition(".")[0]
        count[above] = count.get(above, 0) + 1
        found[name] = f"{found[above]}.{count[above]}".lstrip(".")
    del found[""]
    return MappingProxyType(found)


V1 = outline(
    """
create
  prev_events
  room_id
  room_version
  creator
  allow
auth_events
  duplicate
  not_selected
  rejected
  no_create
  room_id
federate
aliases
  no_state_key
  other_server
  allow
member
  malformed
  join
    first
    sender
    banned
    invite
    public
    otherwise
  invite
    third_party
      banned
      not_signed
      malformed
      mxid
      token
      sender
      key
      otherwise
    sender
    target
    level
    otherwise
  leave
    own
    sender
    banned
    level
    otherwise
  ban
    sender
    level
    otherwise
  otherwise
sender
third_party_invite
  level
required_level
state_key
power_levels
  users
  first
  levels
    before
    after
  entries_before
    level
  entries_after
    level
  users_before
    level
  users_after
    level
  allow
redaction
  level
  same_server
  otherwise
allow
"""
)

V3 = taken_out(V1, "redaction")

V6 = taken_out(V3, "aliases")

V7 = put_in(
    V6,
    outline(
        """
knock
  join_rule
  sender
  membership
  otherwise
""",
        under="member",
    ),
    before="member.otherwise",
)

V8 = put_in(
    put_in(
        V7,
        outline(
            """
authorised
  signed
""",
            under="member",
        ),
        before="member.join",
    ),
    outline(
        """
restricted
  member
  authoriser
  allow
""",
        under="member.join",
    ),
    before="member.join.public",
)

V10 = put_in(
    V8,
    outline(
        """
level_shapes
entry_shapes
""",
        under="power_levels",
    ),
    before="power_levels.users",
)

V11 = taken_out(V10, "create.creator")

V12 = taken_out(
    put_in(
        put_in(
            put_in(V11, ("create.additional_creators",), before="create.allow"),
            ("room",),
            before="auth_events",
        ),
        ("power_levels.creators",),
        before="power_levels.first",
    ),
    "auth_events.no_create",
)
