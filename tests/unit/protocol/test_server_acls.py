"""plexus.protocol.server_acls"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plexus.protocol.globs import Glob
from plexus.protocol.server_acls import OPEN, ServerAcl

EVERYBODY = {"allow": ["*"]}


def test_without_a_list_everybody_may() -> None:
    assert OPEN.allows("anybody.example")
    assert OPEN.allows("1.2.3.4")


@pytest.mark.parametrize(
    ("content", "name", "expected"),
    [
        (EVERYBODY, "a.example", True),
        ({"allow": ["*"], "deny": ["evil.example"]}, "evil.example", False),
        ({"allow": ["*"], "deny": ["evil.example"]}, "evil.example:8448", False),
        ({"allow": ["*"], "deny": ["evil.example"]}, "EVIL.example", False),
        ({"allow": ["*"], "deny": ["EVIL.example"]}, "evil.example:1234", False),
        ({"allow": ["*"], "deny": ["evil.example"]}, "not-evil.example", True),
        ({"allow": ["*"], "deny": ["evil.example"]}, "evil.example.com", True),
        ({"allow": ["*"], "deny": ["*.evil.example"]}, "a.b.evil.example", False),
        ({"allow": ["*"], "deny": ["*.evil.example"]}, "evil.example", True),
        ({"allow": ["*"], "deny": ["evil.*"]}, "evil.example", False),
        ({"allow": ["*"], "deny": ["e?il.example"]}, "evil.example", False),
        ({"allow": ["*"], "deny": ["e?il.example"]}, "eil.example", True),
        ({"allow": ["*"], "deny": ["*.*il.*"]}, "a.evil.example", False),
        ({"allow": ["*"], "deny": ["*.e[vw]il.example"]}, "a.evil.example", True),
        ({"allow": ["*"], "deny": ["evil.example:8448"]}, "evil.example:8448", True),
        ({"allow": ["good.example"]}, "good.example:80", True),
        ({"allow": ["good.example"]}, "other.example", False),
        ({"allow": ["a.example"], "deny": ["a.example"]}, "a.example", False),
        ({"allow": ["*"], "deny": ["*"]}, "a.example", False),
        ({"allow": ["*"], "allow_ip_literals": False}, "1.2.3.4", False),
        ({"allow": ["*"], "allow_ip_literals": False}, "1.2.3.4:8448", False),
        ({"allow": ["*"], "allow_ip_literals": False}, "[::1]", False),
        ({"allow": ["*"], "allow_ip_literals": False}, "[2001:db8::1]:8448", False),
        ({"allow": ["*"], "allow_ip_literals": False}, "1.2.3.4.example", True),
        ({"allow": ["*"], "allow_ip_literals": False}, "1.2.3", True),
        ({"allow": ["*"], "allow_ip_literals": True}, "[::1]:8448", True),
        ({"allow": ["*"], "allow_ip_literals": "false"}, "1.2.3.4", True),
        ({"allow": ["*"], "allow_ip_literals": 0}, "1.2.3.4", True),
        ({"allow": ["*"], "deny": ["1.2.3.*"]}, "1.2.3.4:80", False),
        ({"allow": ["*"], "deny": ["[2001:DB8::*]"]}, "[2001:db8::5]:80", False),
    ],
)
def test_the_steps_of_the_specification(content: dict[str, Any], name: str, expected: bool) -> None:
    assert ServerAcl(content).allows(name) is expected


@pytest.mark.parametrize(
    "content",
    [{}, {"deny": []}, {"allow": []}, {"allow": "*"}, {"allow": {"*": 1}}, {"allow": [5, None, ["*"]]}],
)
def test_without_an_allow_list_nobody_may(content: dict[str, Any]) -> None:
    acl = ServerAcl(content)
    assert not acl.allows("a.example")
    assert not acl.allows("1.2.3.4")


def test_malformed_parts_count_for_nothing() -> None:
    assert ServerAcl({"allow": ["*", 5], "deny": "evil.example"}).allows("evil.example")
    assert not ServerAcl({"allow": [None, "*"], "deny": [{}, "evil.example"]}).allows("evil.example")


@pytest.mark.parametrize("name", ["", "a b", "a.example:", "[::1", "1.2.3.999", "a/b"])
def test_what_is_no_server_name_may_not(name: str) -> None:
    assert not ServerAcl(EVERYBODY).allows(name)


ENTRIES = st.lists(st.text("aB.*?", max_size=6), max_size=5)


@given(ENTRIES, ENTRIES, st.text("ab.", min_size=1, max_size=8))
def test_the_short_ways_give_what_globs_give(allow: list[str], deny: list[str], name: str) -> None:
    denied = any(Glob(entry).matches(name) for entry in deny)
    allowed = any(Glob(entry).matches(name) for entry in allow)
    assert ServerAcl({"allow": allow, "deny": deny}).allows(name) is (allowed and not denied)
