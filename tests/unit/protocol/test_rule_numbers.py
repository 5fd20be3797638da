"""plexus.protocol.rule_numbers"""

from __future__ import annotations

import re
from pathlib import Path

import plexus.protocol.auth_rules
import pytest
from plexus.protocol import ROOM_VERSIONS
from plexus.protocol.rule_numbers import numbers, outline, put_in, taken_out

PAGE = outline(
    """
create
  prev_events
  allow
member
  join
    first
    otherwise
  otherwise
allow
"""
)


def test_a_rule_is_numbered_by_its_place() -> None:
    assert dict(numbers(PAGE)) == {
        "create": "1",
        "create.prev_events": "1.1",
        "create.allow": "1.2",
        "member": "2",
        "member.join": "2.1",
        "member.join.first": "2.1.1",
        "member.join.otherwise": "2.1.2",
        "member.otherwise": "2.2",
        "allow": "3",
    }


def test_rules_come_and_go_with_all_below_them() -> None:
    knock = outline("knock\n  sender", under="member")
    assert numbers(put_in(PAGE, knock, before="member.otherwise"))["member.knock.sender"] == "2.2.1"
    left = taken_out(PAGE, "member")
    assert dict(numbers(left))["allow"] == "2"
    assert "member.join.first" not in left
    with pytest.raises(KeyError):
        taken_out(PAGE, "members")
    with pytest.raises(ValueError, match="not in tuple"):
        put_in(PAGE, knock, before="members")


TABLE = {
    # As the pages of the versions have them.
    "create.prev_events": "1.1 1.1 1.1 1.1 1.1 1.1 1.1 1.1 1.1 1.1 1.1 1.1",
    "create.creator": "1.4 1.4 1.4 1.4 1.4 1.4 1.4 1.4 1.4 1.4 - -",
    "create.additional_creators": "- - - - - - - - - - - 1.4",
    "room": "- - - - - - - - - - - 2",
    "auth_events.duplicate": "2.1 2.1 2.1 2.1 2.1 2.1 2.1 2.1 2.1 2.1 2.1 3.1",
    "auth_events.no_create": "2.4 2.4 2.4 2.4 2.4 2.4 2.4 2.4 2.4 2.4 2.4 -",
    "federate": "3 3 3 3 3 3 3 3 3 3 3 4",
    "aliases": "4 4 4 4 4 - - - - - - -",
    "member": "5 5 5 5 5 4 4 4 4 4 4 5",
    "member.authorised.signed": "- - - - - - - 4.2.1 4.2.1 4.2.1 4.2.1 5.2.1",
    "member.join.banned": "5.2.3 5.2.3 5.2.3 5.2.3 5.2.3 4.2.3 4.2.3 4.3.3 4.3.3 4.3.3 4.3.3 5.3.3",
    "member.join.restricted.authoriser": "- - - - - - - 4.3.5.2 4.3.5.2 4.3.5.2 4.3.5.2 5.3.5.2",
    "member.knock.join_rule": "- - - - - - 4.6.1 4.7.1 4.7.1 4.7.1 4.7.1 5.7.1",
    "member.otherwise": "5.6 5.6 5.6 5.6 5.6 4.6 4.7 4.8 4.8 4.8 4.8 5.8",
    "sender": "6 6 6 6 6 5 5 5 5 5 5 6",
    "third_party_invite.level": "7.1 7.1 7.1 7.1 7.1 6.1 6.1 6.1 6.1 6.1 6.1 7.1",
    "required_level": "8 8 8 8 8 7 7 7 7 7 7 8",
    "state_key": "9 9 9 9 9 8 8 8 8 8 8 9",
    "power_levels.level_shapes": "- - - - - - - - - 9.1 9.1 10.1",
    "power_levels.users": "10.1 10.1 10.1 10.1 10.1 9.1 9.1 9.1 9.1 9.3 9.3 10.3",
    "power_levels.creators": "- - - - - - - - - - - 10.4",
    "power_levels.users_after": "10.7 10.7 10.7 10.7 10.7 9.7 9.7 9.7 9.7 9.9 9.9 10.10",
    "redaction.same_server": "11.2 11.2 - - - - - - - - - -",
    "allow": "12 12 11 11 11 10 10 10 10 10 10 11",
}


@pytest.mark.parametrize("name", TABLE)
def test_numbers_of_the_versions(name: str) -> None:
    found = [version.auth.numbers.get(name, "-") for version in ROOM_VERSIONS.values()]
    assert " ".join(found) == TABLE[name]


def test_every_refusal_names_a_rule() -> None:
    folder = Path(plexus.protocol.auth_rules.__file__).parent
    text = "".join(path.read_text() for path in folder.glob("*.py"))
    named = set(
        re.findall(r'"((?:create|auth_events|federate|aliases|member|power_levels|redaction)\.[\w.]+)"', text)
    )
    known = {name for version in ROOM_VERSIONS.values() for name in version.auth.numbers}
    assert len(named) > 40
    assert named <= known, named - known
