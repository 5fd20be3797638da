"""What calls need: TURN credentials, and the transports of MatrixRTC."""

import base64
import hashlib
import hmac
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.house import V3, House, Person, open_house
from tests.support.postgres import TestDatabase

pytestmark = pytest.mark.asyncio(loop_scope="module")

TURN = f"{V3}/voip/turnServer"
TRANSPORTS = (
    "/_matrix/client/v1/rtc/transports",
    "/_matrix/client/unstable/org.matrix.msc4143/rtc/transports",
)
URIS = ["turn:turn.example.org:3478?transport=udp", "turns:turn.example.org:5349?transport=tcp"]
LIVEKIT = {"type": "livekit", "livekit_service_url": "https://livekit.example.org/jwt"}
GUEST = "/_matrix/client/v3/register?kind=guest"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def equipped(database: TestDatabase, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """A house with a TURN server and a transport beside it."""
    async with open_house(
        database,
        tmp_path_factory.mktemp("equipped"),
        turn={"uris": URIS, "shared_secret": "known to both", "ttl_seconds": 600},
        rtc={"transports": [LIVEKIT, {"type": "org.example.other"}]},
        registration={"mode": "open", "guests": True},
    ) as opened:
        yield opened


async def test_turn_credentials_are_the_user_s_and_end(equipped: House) -> None:
    anna, otto = await equipped.person("anna"), await equipped.person("otto")
    before = int(time.time())
    told = (await anna.get(TURN)).ok()
    after = int(time.time())
    assert (told["uris"], told["ttl"]) == (URIS, 600)
    until, _, user_id = told["username"].partition(":")
    assert before + 600 <= int(until) <= after + 600
    assert user_id == anna.user_id
    # What the TURN server computes.
    made = hmac.new(b"known to both", told["username"].encode(), hashlib.sha1).digest()
    assert base64.b64decode(told["password"]) == made
    other = (await otto.get(TURN)).ok()
    assert other["username"].endswith(":" + otto.user_id)
    assert other["password"] != told["password"]


async def test_without_a_turn_server_there_are_no_credentials(house: House, alice: Person) -> None:
    assert (await alice.get(TURN)).error() == (404, "M_NOT_FOUND")
    assert (await house.client().get(TURN)).error() == (401, "M_MISSING_TOKEN")


async def test_turn_is_not_for_guests_and_transports_are(equipped: House) -> None:
    guest = equipped.client((await equipped.client().post(GUEST)).ok()["access_token"])
    assert (await guest.get(TURN)).error() == (403, "M_GUEST_ACCESS_FORBIDDEN")
    assert (await guest.get(TRANSPORTS[0])).ok()["rtc_transports"] == [LIVEKIT, {"type": "org.example.other"}]


@pytest.mark.parametrize("path", TRANSPORTS)
async def test_transports_in_the_order_of_the_operator(
    house: House, equipped: House, alice: Person, path: str
) -> None:
    someone = await equipped.person(f"someone{len(path)}")
    assert (await someone.get(path)).ok() == {"rtc_transports": [LIVEKIT, {"type": "org.example.other"}]}
    assert (await alice.get(path)).ok() == {"rtc_transports": []}
    assert (await house.client().get(path)).error() == (401, "M_MISSING_TOKEN")
    told = (await house.client().get("/_matrix/client/versions")).ok()
    assert told["unstable_features"]["org.matrix.msc4143"] is True
