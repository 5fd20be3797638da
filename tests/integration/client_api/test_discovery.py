"""What the server says of itself, and of what it does not know."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from plexus.protocol.room_versions import ROOM_VERSIONS

from deploy.local.routes import read_table
from tests.support.house import SERVER, V3, House, Person, open_house
from tests.support.postgres import TestDatabase

pytestmark = pytest.mark.asyncio(loop_scope="module")

WELL_KNOWN = "/.well-known/matrix"
CONTACTS = [
    {"role": "m.role.security", "matrix_id": f"@admin:{SERVER}", "email_address": "security@example.org"},
    {"role": "m.role.admin", "email_address": "plumber@example.org"},
]
KEY = "6yhHGKhCiXTSEN2ksjV7kX_N6rBQZ3Xb-M7LlC6NS-s"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def outspoken(database: TestDatabase, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """A house whose operator has said everything there is to say."""
    discovery = {
        "identity_server": "https://identity.example.org",
        "client": {"org.example.thing": {"url": "https://thing.example.org"}},
        "support_contacts": CONTACTS,
        "support_page": "https://example.org/help",
        "policy_server_key": KEY,
    }
    http = {"public_base_url": "https://matrix.example.org"}
    folder = tmp_path_factory.mktemp("outspoken")
    async with open_house(database, folder, discovery=discovery, http=http) as opened:
        yield opened


async def test_versions_need_no_token(house: House, alice: Person) -> None:
    told = (await house.client().get("/_matrix/client/versions")).ok()
    assert "v1.11" in told["versions"]
    assert all(re.fullmatch(r"v1\.[0-9]+", version) for version in told["versions"])
    assert all(value is True for value in told["unstable_features"].values())
    assert (await alice.get("/_matrix/client/versions")).ok() == told
    # "Servers can choose to enable some features only for some users": a token that is sent must be one.
    stranger = house.client("nobody's")
    assert (await stranger.get("/_matrix/client/versions")).error() == (401, "M_UNKNOWN_TOKEN")


async def test_well_known_client(house: House, outspoken: House) -> None:
    answer = await house.client().get(f"{WELL_KNOWN}/client")
    assert answer.ok() == {"m.homeserver": {"base_url": f"https://{SERVER}/"}}
    # Web clients of other domains read it.
    assert answer.headers["access-control-allow-origin"] == "*"
    assert (await outspoken.client().get(f"{WELL_KNOWN}/client")).ok() == {
        "m.homeserver": {"base_url": "https://matrix.example.org/"},
        "m.identity_server": {"base_url": "https://identity.example.org"},
        "org.example.thing": {"url": "https://thing.example.org"},
    }


async def test_well_known_client_may_be_told_by_another(database: TestDatabase, tmp_path: Path) -> None:
    async with open_house(database, tmp_path, discovery={"serve_client": False}) as silent:
        answer = await silent.client().get(f"{WELL_KNOWN}/client")
        assert answer.error() == (404, "M_NOT_FOUND")


async def test_well_known_support(house: House, outspoken: House) -> None:
    # "404: No server support information available."
    assert (await house.client().get(f"{WELL_KNOWN}/support")).error() == (404, "M_NOT_FOUND")
    told = (await outspoken.client().get(f"{WELL_KNOWN}/support")).ok()
    assert told == {"contacts": CONTACTS, "support_page": "https://example.org/help"}


async def test_well_known_policy_server(house: House, outspoken: House) -> None:
    # "404: No policy server information available."
    assert (await house.client().get(f"{WELL_KNOWN}/policy_server")).error() == (404, "M_NOT_FOUND")
    told = (await outspoken.client().get(f"{WELL_KNOWN}/policy_server")).ok()
    assert told == {"public_keys": {"ed25519": KEY}}


async def test_capabilities(house: House, alice: Person) -> None:
    told = (await alice.get(f"{V3}/capabilities")).ok()["capabilities"]
    versions = told["m.room_versions"]
    assert set(versions["available"]) == set(ROOM_VERSIONS)
    assert versions["default"] in versions["available"]
    # All that the specification names, but "m.account_moderation", which "should be omitted altogether if
    # suspend and lock would be false".
    assert set(told) >= {
        "m.change_password",
        "m.forget_forced_upon_leave",
        "m.room_versions",
        "m.set_displayname",
        "m.set_avatar_url",
        "m.3pid_changes",
        "m.get_login_token",
        "m.profile_fields",
    }
    assert (await house.client().get(f"{V3}/capabilities")).error() == (401, "M_MISSING_TOKEN")


@pytest.mark.parametrize(
    ("method", "path", "error"),
    [
        ("GET", f"{V3}/nothing", (404, "M_UNRECOGNIZED")),
        ("GET", f"{V3}/capabilities/", (404, "M_UNRECOGNIZED")),
        ("GET", "/_matrix/client/r0/sync", (404, "M_UNRECOGNIZED")),
        ("GET", "/_matrix/nothing", (404, "M_UNRECOGNIZED")),
        ("GET", f"{WELL_KNOWN}/nothing", (404, "M_UNRECOGNIZED")),
        ("GET", f"{V3}/thirdparty/protocols", (404, "M_UNRECOGNIZED")),
        ("DELETE", f"{V3}/createRoom", (405, "M_UNRECOGNIZED")),
        ("POST", f"{V3}/rooms/!a:b/send/m.room.message/1", (405, "M_UNRECOGNIZED")),
    ],
)
async def test_what_is_not_built(alice: Person, method: str, path: str, error: tuple[int, str]) -> None:
    answer = await alice.request(method, path)
    assert answer.error() == error
    assert answer.headers["access-control-allow-origin"] == "*"


async def test_every_route_answers_web_clients_and_refuses_wrong_methods(house: House, alice: Person) -> None:
    """ "All endpoints in this specification support the OPTIONS method, however the server MUST NOT perform
    any logic defined for the endpoints when approached with an OPTIONS request."
    """
    before = await house.written()
    routes = [
        route for route in read_table().routes if route.path.startswith(("/_matrix/client", WELL_KNOWN))
    ]
    assert len(routes) > 150
    built = 0
    for path in {re.sub(r"\{[^}]*\}", "!a:b", route.path).strip() for route in routes}:
        preflight = await alice.request("OPTIONS", path)
        assert preflight.status == 204, path
        assert preflight.headers["access-control-allow-origin"] == "*"
        methods = set(preflight.headers["access-control-allow-methods"].split(", "))
        assert methods >= {"GET", "POST", "PUT", "DELETE", "OPTIONS"}
        headers = set(preflight.headers["access-control-allow-headers"].split(", "))
        assert headers >= {"X-Requested-With", "Content-Type", "Authorization"}
        wrong = await alice.request("PATCH", path)
        assert wrong.errcode == "M_UNRECOGNIZED"
        assert wrong.headers["access-control-allow-origin"] == "*"
        # What other services answer is not in this house, and not everything is built.
        assert wrong.status in (404, 405), path
        if wrong.status == 405:
            built += 1
            assert "OPTIONS" in wrong.headers["allow"]
    assert built > 50
    assert await house.written() == before
