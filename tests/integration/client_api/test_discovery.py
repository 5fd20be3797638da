"""What the server says of itself, and of what it does not know."""

import pytest
from plexus.protocol.room_versions import ROOM_VERSIONS

from tests.support.house import V3, House, Person

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_versions_need_no_token(house: House, alice: Person) -> None:
    told = (await house.client().get("/_matrix/client/versions")).ok()
    assert "v1.11" in told["versions"]
    assert (await alice.get("/_matrix/client/versions")).ok() == told


async def test_well_known(house: House) -> None:
    answer = await house.client().get("/.well-known/matrix/client")
    assert answer.ok() == {"m.homeserver": {"base_url": house.platform.settings.public_base_url + "/"}}
    # Web clients of other domains read it.
    assert answer.headers["access-control-allow-origin"] == "*"


async def test_capabilities(house: House, alice: Person) -> None:
    told = (await alice.get(f"{V3}/capabilities")).ok()["capabilities"]
    versions = told["m.room_versions"]
    assert set(versions["available"]) == set(ROOM_VERSIONS)
    assert versions["default"] in versions["available"]
    assert (await house.client().get(f"{V3}/capabilities")).error() == (401, "M_MISSING_TOKEN")


@pytest.mark.parametrize(
    ("method", "path", "error"),
    [
        ("GET", f"{V3}/nothing", (404, "M_UNRECOGNIZED")),
        ("GET", "/_matrix/client/r0/sync", (404, "M_UNRECOGNIZED")),
        ("GET", f"{V3}/voip/turnServer", (404, "M_UNRECOGNIZED")),
        ("DELETE", f"{V3}/createRoom", (405, "M_UNRECOGNIZED")),
        ("POST", f"{V3}/rooms/!a:b/send/m.room.message/1", (405, "M_UNRECOGNIZED")),
    ],
)
async def test_what_is_not_built(alice: Person, method: str, path: str, error: tuple[int, str]) -> None:
    assert (await alice.request(method, path)).error() == error
