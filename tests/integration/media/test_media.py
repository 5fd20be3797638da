"""The content repository: what goes in comes out, and nothing stays of what did not go in."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from plexus.media.sweep import KEEP_EXPIRED_MS, ORPHAN_AGE_MS, sweep

from tests.support.house import SERVER, House, Person
from tests.support.http import Answer, Pieces, seg

pytestmark = pytest.mark.asyncio(loop_scope="module")

UPLOAD = "/_matrix/media/v3/upload"
CREATE = "/_matrix/media/v1/create"
DOWNLOAD = "/_matrix/client/v1/media/download"


async def upload(person: Person, data: bytes | Pieces, kind: str = "image/png", **query: Any) -> str:
    """The ``server/mediaId`` of an upload."""
    answer = await person.request("POST", UPLOAD, data, query=query, headers={"content-type": kind})
    uri: str = answer.ok()["content_uri"]
    return uri.removeprefix("mxc://")


async def objects(house: House) -> set[str]:
    return {found.key async for found in house.platform.objects.list("local")}


async def traces(house: House) -> tuple[int, set[str]]:
    """All that an upload can leave behind."""
    return await house.count("media.item"), await objects(house)


async def test_what_goes_in_comes_out(house: House, alice: Person, bob: Person) -> None:
    data = bytes(range(256)) * 3000
    chunks = Pieces(data[start : start + 9999] for start in range(0, len(data), 9999))
    path = await upload(alice, chunks, "image/png", filename="é t.png")
    assert path.startswith(f"{SERVER}/")
    answer = await bob.get(f"{DOWNLOAD}/{path}")
    assert (answer.status, answer.body) == (200, data)
    headers = answer.headers
    assert headers["content-type"] == "image/png"
    assert headers["content-length"] == str(len(data))
    assert headers["content-disposition"] == "inline; filename*=utf-8''%C3%A9%20t.png"
    assert headers["cross-origin-resource-policy"] == "cross-origin"
    assert headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert headers["x-content-type-options"] == "nosniff"
    named = await bob.get(f"{DOWNLOAD}/{path}/{seg('a b.png')}")
    assert named.headers["content-disposition"] == 'inline; filename="a b.png"'


async def test_what_a_browser_could_run_is_an_attachment(alice: Person) -> None:
    path = await upload(alice, b"<script>", "text/html", filename="x.html")
    answer = await alice.get(f"{DOWNLOAD}/{path}")
    assert answer.headers["content-disposition"] == 'attachment; filename="x.html"'
    assert answer.headers["content-type"] == "text/html"


async def test_an_empty_file_without_a_type(alice: Person) -> None:
    answer = await alice.request("POST", UPLOAD, b"")
    path = answer.ok()["content_uri"].removeprefix("mxc://")
    found = await alice.get(f"{DOWNLOAD}/{path}")
    assert (found.status, found.body) == (200, b"")
    assert found.headers["content-type"] == "application/octet-stream"
    assert found.headers["content-disposition"] == "attachment"


async def test_ranges_and_revalidation(alice: Person) -> None:
    path = await upload(alice, b"0123456789")

    async def ranged(value: str) -> Answer:
        return await alice.request("GET", f"{DOWNLOAD}/{path}", headers={"range": value})

    part = await ranged("bytes=2-4")
    assert (part.status, part.body) == (206, b"234")
    assert (part.headers["content-range"], part.headers["content-length"]) == ("bytes 2-4/10", "3")
    assert (await ranged("bytes=-3")).body == b"789"
    beyond = await ranged("bytes=10-")
    assert (beyond.status, beyond.headers["content-range"]) == (416, "bytes */10")
    whole = await alice.get(f"{DOWNLOAD}/{path}")
    tag = {"if-none-match": whole.headers["etag"]}
    same = await alice.request("GET", f"{DOWNLOAD}/{path}", headers=tag)
    assert (same.status, same.body) == (304, b"")


async def test_nothing_without_a_token(house: House, alice: Person) -> None:
    path = await upload(alice, b"secret")
    stranger = house.client()
    before = await traces(house)
    for method, where in (
        ("GET", f"{DOWNLOAD}/{path}"),
        ("GET", f"{DOWNLOAD}/{path}/name"),
        ("GET", "/_matrix/client/v1/media/config"),
        ("POST", UPLOAD),
        ("POST", CREATE),
        ("PUT", f"{UPLOAD}/{path}"),
    ):
        assert (await stranger.request(method, where)).error() == (401, "M_MISSING_TOKEN"), where
    # The old endpoints ask for no token and give nothing.
    for where in (path, f"{path}/name"):
        assert (await stranger.get(f"/_matrix/media/v3/download/{where}")).error() == (404, "M_NOT_FOUND")
        assert (await alice.get(f"/_matrix/media/v3/download/{where}")).error() == (404, "M_NOT_FOUND")
    assert await traces(house) == before


@pytest.mark.parametrize(
    ("path", "error"),
    [
        (f"{SERVER}/doesnotexist", (404, "M_NOT_FOUND")),
        ("elsewhere.org/abc", (404, "M_NOT_FOUND")),
        (f"{SERVER}/..%2F..%2Fetc%2Fpasswd", (400, "M_INVALID_PARAM")),
        (f"{SERVER}/a.b", (400, "M_INVALID_PARAM")),
        ("not_a_server/abc", (400, "M_INVALID_PARAM")),
        (f"{SERVER}/abc?timeout_ms=soon", (400, "M_INVALID_PARAM")),
        (f"{SERVER}/abc?timeout_ms=-1", (400, "M_INVALID_PARAM")),
    ],
)
async def test_media_that_are_none(alice: Person, path: str, error: tuple[int, str]) -> None:
    assert (await alice.get(f"{DOWNLOAD}/{path}")).error() == error


async def test_the_size_limit_is_told_and_kept(house: House, alice: Person) -> None:
    limit = house.platform.settings.media.max_upload_bytes
    for path in ("/_matrix/client/v1/media/config", "/_matrix/media/v3/config"):
        assert (await alice.get(path)).ok() == {"m.upload.size": limit}
    before = await traces(house)
    read: list[int] = []

    def watched(count: int) -> Iterator[bytes]:
        for number in range(count):
            read.append(number)
            yield bytes(65_536)

    # Announced: refused before a byte is taken in.
    announced = {"content-length": str(limit + 1)}
    answer = await alice.request("POST", UPLOAD, Pieces(watched(2)), headers=announced)
    assert answer.error() == (413, "M_TOO_LARGE")
    assert len(read) <= 1
    # Not announced: refused at the first byte over it, and what was stored until then is gone.
    enough = limit // 65_536
    answer = await alice.request("POST", UPLOAD, Pieces(watched(enough + 50)))
    assert answer.error() == (413, "M_TOO_LARGE")
    assert len(read) < enough + 10
    assert await traces(house) == before


async def test_exactly_the_limit_is_allowed(house: House, alice: Person) -> None:
    limit = house.platform.settings.media.max_upload_bytes
    await upload(alice, bytes(limit))
    before = await traces(house)
    answer = await alice.request("POST", UPLOAD, bytes(limit + 1))
    assert answer.error() == (413, "M_TOO_LARGE")
    assert await traces(house) == before


async def test_an_upload_that_breaks_off_leaves_nothing(house: House, alice: Person) -> None:
    before = await traces(house)
    answer = await alice.request("POST", UPLOAD, Pieces([bytes(70_000)] * 4, broken=True))
    assert answer.status in (0, 400, 499)
    assert await traces(house) == before


async def test_a_store_that_fails_leaves_no_row(
    house: House, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await traces(house)

    async def full(key: str, data: Any) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(house.platform.objects, "put", full, raising=True)
        answer = await alice.request("POST", UPLOAD, b"data")
    assert answer.status >= 500 and answer.errcode == "M_UNKNOWN"
    assert b"space" not in answer.body
    assert await traces(house) == before


async def test_a_name_that_is_too_long(house: House, alice: Person) -> None:
    before = await traces(house)
    answer = await alice.request("POST", UPLOAD, b"x", query={"filename": "x" * 1025})
    assert answer.error() == (400, "M_INVALID_PARAM")
    assert await traces(house) == before


async def test_the_media_id_first_and_the_content_later(house: House, alice: Person, bob: Person) -> None:
    made = (await alice.post(CREATE)).ok()
    path = made["content_uri"].removeprefix("mxc://")
    assert made["unused_expires_at"] > house.platform.clock.now_ms()
    early = await bob.get(f"{DOWNLOAD}/{path}", timeout_ms=0)
    assert early.error() == (504, "M_NOT_YET_UPLOADED")
    # "The request comes from a different user than the one that called /create"
    theirs = await bob.request("PUT", f"{UPLOAD}/{path}", b"mine!")
    assert theirs.error() == (403, "M_FORBIDDEN")
    waiting = asyncio.create_task(bob.get(f"{DOWNLOAD}/{path}", timeout_ms=10_000))
    await asyncio.sleep(0.1)
    kind = {"content-type": "text/plain"}
    filled = await alice.request("PUT", f"{UPLOAD}/{path}", b"at last", headers=kind)
    assert filled.ok() == {}
    answer = await waiting
    assert (answer.status, answer.body) == (200, b"at last")
    assert answer.headers["content-type"] == "text/plain"
    before = await traces(house)
    again = await alice.request("PUT", f"{UPLOAD}/{path}", b"other")
    assert again.error() == (409, "M_CANNOT_OVERWRITE_MEDIA")
    assert await traces(house) == before
    assert (await bob.get(f"{DOWNLOAD}/{path}")).body == b"at last"


async def test_of_several_uploads_to_one_id_one_wins(house: House, alice: Person) -> None:
    path = (await alice.post(CREATE)).ok()["content_uri"].removeprefix("mxc://")
    before = await objects(house)
    contents = [b"%d" % number * 1000 for number in range(8)]
    answers = await asyncio.gather(
        *(alice.request("PUT", f"{UPLOAD}/{path}", content) for content in contents)
    )
    won = [content for content, answer in zip(contents, answers, strict=True) if answer.status == 200]
    assert len(won) == 1
    assert {answer.status for answer in answers} == {200, 409}
    assert (await alice.get(f"{DOWNLOAD}/{path}")).body == won[0]
    assert len(await objects(house) - before) == 1


@pytest.mark.parametrize(
    ("path", "error"),
    [
        (f"{SERVER}/neverCreated", (404, "M_NOT_FOUND")),
        ("elsewhere.org/abc", (404, "M_NOT_FOUND")),
        (f"{SERVER}/a.b", (400, "M_INVALID_PARAM")),
    ],
)
async def test_only_what_was_created_can_be_filled(
    house: House, alice: Person, path: str, error: tuple[int, str]
) -> None:
    before = await traces(house)
    assert (await alice.request("PUT", f"{UPLOAD}/{path}", b"x")).error() == error
    assert await traces(house) == before


async def test_unfinished_uploads_are_limited(house: House, alice: Person) -> None:
    limit = house.platform.settings.media.max_pending_uploads
    answers = await asyncio.gather(*(alice.post(CREATE) for _ in range(limit + 4)))
    assert sorted(answer.status for answer in answers) == [200] * limit + [429] * 4
    refused = next(answer for answer in answers if answer.status == 429)
    assert refused.errcode == "M_LIMIT_EXCEEDED" and "retry-after" in refused.headers
    made = next(answer for answer in answers if answer.status == 200)
    path = made.json["content_uri"].removeprefix("mxc://")
    (await alice.request("PUT", f"{UPLOAD}/{path}", b"x")).ok()
    (await alice.post(CREATE)).ok()


async def test_a_reservation_expires(house: House, alice: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    made = (await alice.post(CREATE)).ok()
    path = made["content_uri"].removeprefix("mxc://")
    with monkeypatch.context() as patch:
        patch.setattr(house.platform, "clock", _Later(house.platform.clock, made["unused_expires_at"]))
        late = await alice.request("PUT", f"{UPLOAD}/{path}", b"late")
        assert late.error() == (404, "M_NOT_FOUND")
        assert (await alice.get(f"{DOWNLOAD}/{path}")).error() == (404, "M_NOT_FOUND")


async def test_the_sweep_removes_what_has_no_row_and_nothing_else(
    house: House, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = await upload(alice, b"kept")
    made = (await alice.post(CREATE)).ok()
    # What a crash between object and row leaves.
    await house.platform.objects.put("local/aa/bb/orphan", b"lost")
    before = await objects(house)
    assert await sweep(house.platform) == (0, 0)  # too young: it may be an upload about to get its row
    assert await objects(house) == before
    later = max(house.platform.clock.now_ms() + ORPHAN_AGE_MS, made["unused_expires_at"] + KEEP_EXPIRED_MS)
    with monkeypatch.context() as patch:
        patch.setattr(house.platform, "clock", _Later(house.platform.clock, later + 60_000))
        removed, forgotten = await sweep(house.platform)
        assert removed == 1 and forgotten >= 1
        assert await sweep(house.platform) == (0, 0)
    assert before - await objects(house) == {"local/aa/bb/orphan"}
    assert (await alice.get(f"{DOWNLOAD}/{kept}")).body == b"kept"


class _Later:
    """A clock that stands at a later time."""

    def __init__(self, real: Any, now: int) -> None:
        self._real, self._now = real, now

    def now_ms(self) -> int:
        return self._now

    def monotonic(self) -> float:
        return float(self._real.monotonic())
