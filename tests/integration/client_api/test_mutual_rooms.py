"""Client-Server API, "Mutual Rooms"."""

from __future__ import annotations

import pytest
from plexus.client_api.mutual_rooms import service

from tests.support.house import House, Person

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATH = "/_matrix/client/v1/mutual_rooms"


async def test_the_rooms_that_both_have_joined(alice: Person, bob: Person, carol: Person) -> None:
    assert (await alice.get(PATH, user_id=bob.user_id)).ok() == {"joined": [], "count": 0}
    shared = [await alice.create_room(preset="public_chat") for _ in range(2)]
    for room_id in shared:
        await bob.join(room_id)
    # Invited only, alone, left, and of others.
    await alice.create_room(invite=[bob.user_id])
    await alice.create_room()
    left = await alice.create_room(preset="public_chat")
    await bob.join(left)
    assert (await bob.post(f"{bob.room(left)}/leave")).status == 200
    await bob.join(await carol.create_room(preset="public_chat"))
    for one, other in ((alice, bob), (bob, alice)):
        answer = (await one.get(PATH, user_id=other.user_id)).ok()
        assert answer == {"joined": sorted(shared), "count": 2}


async def test_pages(monkeypatch: pytest.MonkeyPatch, alice: Person, bob: Person) -> None:
    monkeypatch.setattr(service, "PAGE", 2)
    shared = [await alice.create_room(preset="public_chat") for _ in range(5)]
    for room_id in shared:
        await bob.join(room_id)
    seen: list[str] = []
    token = None
    sizes = []
    while True:
        answer = (await alice.get(PATH, user_id=bob.user_id, **{"from": token})).ok()
        assert answer["count"] == 5
        seen += answer["joined"]
        sizes.append(len(answer["joined"]))
        token = answer.get("next_batch")
        if token is None:
            break
    assert sizes == [2, 2, 1]
    assert seen == sorted(shared)


async def test_users_who_are_not_there_share_nothing(alice: Person) -> None:
    for user_id in ("@nobody:here.example.org", "@nobody:elsewhere.example.org"):
        assert (await alice.get(PATH, user_id=user_id)).ok() == {"joined": [], "count": 0}


async def test_what_is_no_request(house: House, alice: Person, bob: Person) -> None:
    assert (await alice.get(PATH)).error() == (400, "M_MISSING_PARAM")
    for user_id in (alice.user_id, "nobody", "@ü:here.example.org", "@:here.example.org"):
        assert (await alice.get(PATH, user_id=user_id)).error() == (400, "M_INVALID_PARAM")
    for token in ("x", "!", "é", "IQ", "IWE6Yg=="):
        answer = await alice.get(PATH, user_id=bob.user_id, **{"from": token})
        assert answer.error() == (400, "M_INVALID_PARAM")
    assert (await house.client().get(PATH, user_id=bob.user_id)).error() == (401, "M_MISSING_TOKEN")
