"""The gateway's table: whole, of one mind, and the same as the specification's where that is at hand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from deploy.local.routes import SERVICES, Route, Table, lookups, owner, read_table

ROOT = Path(__file__).resolve().parents[3]
SPEC = ROOT.parent / "shared" / "spec" / "ENDPOINTS.md"

OURS = {
    ("GET", "/_matrix/client/v3/auth/{}/fallback/web"),
    ("POST", "/_matrix/client/v3/auth/{}/fallback/web"),
    ("GET", "/_matrix/client/v3/rooms/{}/state/{}"),
    ("PUT", "/_matrix/client/v3/rooms/{}/state/{}"),
    ("GET", "/_matrix/static/client/login/"),
    ("GET", "/_matrix/client/unstable/org.matrix.msc4140/delayed_events"),
    ("GET", "/_matrix/client/unstable/org.matrix.msc4140/delayed_events/{}"),
    ("POST", "/_matrix/client/unstable/org.matrix.msc4140/delayed_events/{}"),
    ("POST", "/_matrix/client/unstable/org.matrix.msc4140/delayed_events/{}/cancel"),
    ("POST", "/_matrix/client/unstable/org.matrix.msc4140/delayed_events/{}/restart"),
    ("POST", "/_matrix/client/unstable/org.matrix.msc4140/delayed_events/{}/send"),
    ("PUT", "/_matrix/client/unstable/org.matrix.msc4140/rooms/{}/delayed_event/{}/{}"),
    ("GET", "/_matrix/client/unstable/org.matrix.msc4143/rtc/transports"),
    ("DELETE", "/_matrix/client/unstable/io.element.msc4306/rooms/{}/thread/{}/subscription"),
    ("GET", "/_matrix/client/unstable/io.element.msc4306/rooms/{}/thread/{}/subscription"),
    ("PUT", "/_matrix/client/unstable/io.element.msc4306/rooms/{}/thread/{}/subscription"),
    ("GET", "/_matrix/client/unstable/io.element.msc4308/thread_subscriptions"),
    ("GET", "/_matrix/client/v1/rtc/transports"),
    ("POST", "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync"),
    ("POST", "/_matrix/client/v4/sync"),
    ("GET", "/_plexus/email/validate"),
    ("POST", "/_plexus/email/validate"),
    ("PUT", "/_plexus/admin/v1/notices/{}/{}"),
    ("GET", "/_synapse/admin/v1/register"),
    ("POST", "/_synapse/admin/v1/register"),
}
"""What no description of an API lists: required by the text, or Plexus's own."""


def served(endpoints: str) -> dict[tuple[str, str], str]:
    """What a homeserver answers of the two APIs that it serves: the owner by method and path."""
    found: dict[tuple[str, str], str] = {}
    columns: list[str] = []
    api = ""
    for line in endpoints.splitlines():
        if line.startswith("## "):
            api = line.removeprefix("## ")
        cells = [cell.strip().strip("`") for cell in line.strip().strip("|").split("|")]
        if cells[0] == "METHOD":
            columns = cells
        if not api.startswith(("Client-Server", "Server-Server")) or cells[-1] not in SERVICES:
            continue
        row = dict(zip(columns, cells, strict=True))
        if row.get("role", "serve").startswith("serve"):
            found[Route(row["METHOD"], row["path"], "").key] = row["service"]
    return found


def test_same_as_the_specification() -> None:
    spec_file = SPEC
    if not spec_file.exists():
        # A worktree beside the repository has the folder one level further up.
        spec_file = ROOT.parents[1] / "shared" / "spec" / "ENDPOINTS.md"
    if not spec_file.exists():
        pytest.skip("../shared/spec/ENDPOINTS.md is not here: nothing to compare the table with")
    spec = served(spec_file.read_text(encoding="utf-8"))
    assert len(spec) > 190
    table = {route.key: route.service for route in read_table().routes}
    assert {key: service for key, service in table.items() if key not in OURS} == spec
    assert table.keys() >= OURS


def test_each_route_goes_to_its_owner() -> None:
    table = read_table()
    found = lookups(table)
    keys = [route.key for route in table.routes]
    assert len(keys) == len(set(keys)), "a route is listed twice"
    for route in table.routes:
        assert route.service in SERVICES
        path = re.sub(r"\{[^}]*\}", "!x:example.org", route.path)
        assert owner(found, table.default, path) == route.service, route


@pytest.mark.parametrize(
    ("path", "service"),
    [
        ("/_matrix/client/v3/rooms/!a:b/initialSync", "sync"),
        ("/_matrix/client/v3/rooms/!a:b/initialSync/more", "client-api"),
        ("/_matrix/client/v3/events", "sync"),
        ("/_matrix/client/v3/nothing", "client-api"),
        ("/_matrix/federation/v9/nothing", "federation"),
        ("/_matrix/federation/v1/user/devices/@a:b", "keys"),
        ("/_matrix/media/v9/nothing", "media"),
        ("/", "client-api"),
    ],
)
def test_what_is_in_no_row(path: str, service: str) -> None:
    table = read_table()
    assert owner(lookups(table), table.default, path) == service


def test_an_owner_by_method_is_refused() -> None:
    table = Table([Route("GET", "/a", "sync"), Route("PUT", "/a", "keys")], {}, "client-api")
    with pytest.raises(ValueError, match="/a: the owner depends on the method"):
        lookups(table)
