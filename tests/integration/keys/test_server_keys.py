import pytest
from plexus.wire import read_server_keys

from tests.support.house import SERVER, House

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_the_server_publishes_its_keys(house: House) -> None:
    answer = await house.client().get("/_matrix/key/v2/server")
    assert answer.headers["content-type"] == "application/json"
    now = house.platform.clock.now_ms()
    [key] = read_server_keys(answer.ok(), SERVER, now)
    assert key.verify_key.key_id == house.platform.keys.current().key_id
    assert key.signs_requests_at(now + 3_600_000)
