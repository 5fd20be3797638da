import asyncio

import pytest

from tests.integration.keys.conftest import device_keys, one_time_key
from tests.support.house import V3, House, Person

pytestmark = pytest.mark.asyncio(loop_scope="module")

UPLOAD = f"{V3}/keys/upload"
QUERY = f"{V3}/keys/query"
CLAIM = f"{V3}/keys/claim"
ALGORITHM = "signed_curve25519"


async def test_upload_and_query(house: House, alice: Person, bob: Person) -> None:
    body = {
        "device_keys": device_keys(alice, unsigned={"device_display_name": "Mallory"}),
        "one_time_keys": {f"{ALGORITHM}:{n}": one_time_key(alice) for n in range(3)},
        "fallback_keys": {f"{ALGORITHM}:f": one_time_key(alice, fallback=True)},
    }
    assert (await alice.post(UPLOAD, body)).ok() == {"one_time_key_counts": {ALGORITHM: 3}}
    assert (await alice.post(UPLOAD, body)).ok() == {"one_time_key_counts": {ALGORITHM: 3}}
    assert (await alice.post(UPLOAD, {})).ok() == {"one_time_key_counts": {ALGORITHM: 3}}
    await house.users.rename_device(alice.user_id, alice.device_id, "Phone")
    answer = (await bob.post(QUERY, {"device_keys": {alice.user_id: []}, "timeout": 10000})).ok()
    assert answer["failures"] == {}
    expected = {**device_keys(alice), "unsigned": {"device_display_name": "Phone"}}
    assert answer["device_keys"] == {alice.user_id: {alice.device_id: expected}}
    assert (await house.users.key_counts(alice.user_id, alice.device_id)).unused_fallback_types == [ALGORITHM]


async def test_queries(house: House, alice: Person, bob: Person) -> None:
    other = await house.device(alice)
    for person in (alice, other):
        await person.post(UPLOAD, {"device_keys": device_keys(person)})
    wanted = {
        alice.user_id: [other.device_id, "NONE"],
        bob.user_id: [],
        "@nobody:here.example.org": [],
        "@carol:elsewhere.org": [],
    }
    answer = (await bob.post(QUERY, {"device_keys": wanted})).ok()
    assert set(answer["device_keys"]) == {alice.user_id, bob.user_id}
    assert set(answer["device_keys"][alice.user_id]) == {other.device_id}
    assert answer["device_keys"][bob.user_id] == {}
    assert set(answer["failures"]) == {"elsewhere.org"}


@pytest.mark.parametrize(
    ("path", "body", "status", "errcode"),
    [
        (UPLOAD, {"device_keys": []}, 400, "M_BAD_JSON"),
        (UPLOAD, {"device_keys": {"user_id": 1}}, 400, "M_MISSING_PARAM"),
        (UPLOAD, {"one_time_keys": {"x": {}}}, 400, "M_INVALID_PARAM"),
        (UPLOAD, {"one_time_keys": {"a:b": 1}}, 400, "M_BAD_JSON"),
        (UPLOAD, {"one_time_keys": "x"}, 400, "M_BAD_JSON"),
        (UPLOAD, {"one_time_keys": {"a:b": {"key": "x", "n": 1.5}}}, 400, "M_BAD_JSON"),
        (QUERY, {}, 400, "M_MISSING_PARAM"),
        (QUERY, {"device_keys": {"@a:x": "D"}}, 400, "M_BAD_JSON"),
        (QUERY, {"device_keys": {"nonsense": []}}, 400, "M_INVALID_PARAM"),
        (QUERY, {"device_keys": {"@a\0:x": []}}, 400, "M_INVALID_PARAM"),
        (QUERY, {"device_keys": {}, "timeout": -1}, 400, "M_BAD_JSON"),
        (CLAIM, {"one_time_keys": {"@a:x": {"D": 1}}}, 400, "M_BAD_JSON"),
        (CLAIM, {}, 400, "M_MISSING_PARAM"),
    ],
)
async def test_bad_bodies(
    alice: Person, path: str, body: dict[str, object], status: int, errcode: str
) -> None:
    assert (await alice.post(path, body)).error() == (status, errcode)


async def test_keys_for_another_user_or_device_are_refused(house: House, alice: Person, bob: Person) -> None:
    other = await house.device(alice)
    for keys in (device_keys(bob), device_keys(other), device_keys(alice, device_id=other.device_id)):
        assert (await alice.post(UPLOAD, {"device_keys": keys})).error() == (400, "M_INVALID_PARAM")
    answer = (await alice.post(QUERY, {"device_keys": {alice.user_id: [], bob.user_id: []}})).ok()
    assert answer["device_keys"] == {alice.user_id: {}, bob.user_id: {}}


async def test_a_changed_one_time_key_is_refused(alice: Person) -> None:
    first = {"one_time_keys": {f"{ALGORITHM}:1": one_time_key(alice)}}
    assert (await alice.post(UPLOAD, first)).status == 200
    changed = {
        "device_keys": device_keys(alice),
        "one_time_keys": {
            f"{ALGORITHM}:1": one_time_key(alice, "other"),
            f"{ALGORITHM}:2": one_time_key(alice),
        },
    }
    assert (await alice.post(UPLOAD, changed)).error() == (400, "M_INVALID_PARAM")
    assert (await alice.post(UPLOAD, first)).ok() == {"one_time_key_counts": {ALGORITHM: 1}}
    answer = (await alice.post(QUERY, {"device_keys": {alice.user_id: []}})).ok()
    assert answer["device_keys"] == {alice.user_id: {}}


async def test_claims(alice: Person, bob: Person) -> None:
    names = [f"{ALGORITHM}:{n}" for n in range(5)]
    body = {
        "one_time_keys": {name: one_time_key(alice) for name in names},
        "fallback_keys": {f"{ALGORITHM}:f": one_time_key(alice, fallback=True)},
    }
    await alice.post(UPLOAD, body)
    wanted = {
        alice.user_id: {alice.device_id: ALGORITHM, "NONE": ALGORITHM, "\0": ALGORITHM},
        bob.user_id: {bob.device_id: ALGORITHM},
        "@carol:elsewhere.org": {"D": ALGORITHM},
    }
    answers = await asyncio.gather(*(bob.post(CLAIM, {"one_time_keys": wanted}) for _ in range(7)))
    given = []
    for answer in answers:
        body = answer.ok()
        assert set(body["failures"]) == {"elsewhere.org"}
        assert set(body["one_time_keys"]) == {alice.user_id}
        [(device_id, keys)] = body["one_time_keys"][alice.user_id].items()
        assert device_id == alice.device_id
        given += list(keys)
    assert sorted(given) == sorted([*names, f"{ALGORITHM}:f", f"{ALGORITHM}:f"])
    assert (await alice.post(UPLOAD)).ok() == {"one_time_key_counts": {}}


async def test_a_token_is_needed(house: House) -> None:
    for path in (UPLOAD, QUERY, CLAIM):
        assert (await house.client().post(path)).error() == (401, "M_MISSING_TOKEN")


async def test_there_is_no_backup(house: House, alice: Person) -> None:
    answer = await alice.get(f"{V3}/room_keys/version")
    assert answer.error() == (404, "M_NOT_FOUND")
    assert (await house.client().get(f"{V3}/room_keys/version")).error() == (401, "M_MISSING_TOKEN")


async def test_what_is_not_built_is_unrecognised(alice: Person) -> None:
    assert (await alice.post(f"{V3}/keys/device_signing/upload")).error() == (404, "M_UNRECOGNIZED")
