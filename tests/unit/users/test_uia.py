"""The engine over sessions in memory; the table is tested in tests/integration/users."""

from collections.abc import Mapping
from typing import Any

import pytest
from plexus.protocol.errors import BadJson, Forbidden, LimitExceeded, MatrixError
from plexus.users.uia import Uia, UiaRequired, authenticate, dummy_stage
from plexus.users.uia_sessions import UiaSession


class Sessions:
    """The port in memory."""

    def __init__(self) -> None:
        self.rows: dict[str, tuple[bytes, UiaSession]] = {}

    async def uia_session(self, session_id: str, request: bytes) -> UiaSession:
        found = self.rows.get(session_id)
        return found[1] if found is not None and found[0] == request else UiaSession()

    async def complete_uia_stage(
        self, session_id: str, request: bytes, stage: str, result: Any
    ) -> UiaSession:
        old = await self.uia_session(session_id, request)
        new = UiaSession((*old.completed, stage), {**old.results, stage: result})
        self.rows[session_id] = (request, new)
        return new

    async def end_uia_session(self, session_id: str) -> None:
        self.rows.pop(session_id, None)


async def word(auth: Mapping[str, Any]) -> str:
    if auth.get("word") != "please":
        raise Forbidden("That is not the word")
    return "said"


async def limited(auth: Mapping[str, Any]) -> str:
    raise LimitExceeded(1000)


TWO = Uia(
    "op", "@a:x", [("word", "dummy"), ("other",)], {"word": word, "dummy": dummy_stage, "other": dummy_stage}
)
ONE = Uia("op", "@a:x", [("dummy",)], {"dummy": dummy_stage}, {"dummy": {"hint": 1}})


async def refused(uia: Uia, sessions: Sessions, request: dict[str, Any]) -> UiaRequired:
    with pytest.raises(UiaRequired) as caught:
        await authenticate(sessions, uia, request)
    return caught.value


async def test_without_auth_it_tells_the_flows_and_is_no_error() -> None:
    body = (await refused(ONE, Sessions(), {"a": 1})).body()
    assert body.pop("session")
    assert body == {"flows": [{"stages": ["dummy"]}], "params": {"dummy": {"hint": 1}}}


async def test_one_stage_needs_no_session() -> None:
    sessions = Sessions()
    assert await authenticate(sessions, ONE, {"auth": {"type": "dummy"}}) == {"dummy": True}
    assert not sessions.rows


async def test_stages_in_order_and_their_results() -> None:
    sessions = Sessions()
    required = await refused(
        TWO, sessions, {"x": 1, "auth": {"type": "word", "session": "s", "word": "please"}}
    )
    assert required.status == 401
    assert required.body()["completed"] == ["word"]
    assert "errcode" not in required.body()
    done = await authenticate(sessions, TWO, {"x": 1, "auth": {"type": "dummy", "session": "s"}})
    assert done == {"word": "said", "dummy": True}
    assert not sessions.rows


async def test_a_stage_out_of_order_is_refused() -> None:
    required = await refused(TWO, Sessions(), {"auth": {"type": "dummy", "session": "s"}})
    assert required.body()["errcode"] == "M_FORBIDDEN"


async def test_a_failed_attempt_may_be_repeated() -> None:
    sessions = Sessions()
    required = await refused(TWO, sessions, {"auth": {"type": "word", "session": "s", "word": "now"}})
    assert required.body()["errcode"] == "M_FORBIDDEN"
    assert required.body()["error"] == "That is not the word"
    assert required.body()["session"] == "s"
    assert not sessions.rows


async def test_a_completed_stage_is_not_tried_again() -> None:
    sessions = Sessions()
    await refused(TWO, sessions, {"auth": {"type": "word", "session": "s", "word": "please"}})
    again = await refused(TWO, sessions, {"auth": {"type": "word", "session": "s", "word": "wrong"}})
    assert again.body()["completed"] == ["word"]
    assert "errcode" not in again.body()


async def test_only_the_session_asks_how_far_it_is() -> None:
    sessions = Sessions()
    await refused(TWO, sessions, {"auth": {"type": "word", "session": "s", "word": "please"}})
    assert (await refused(TWO, sessions, {"auth": {"session": "s"}})).body()["completed"] == ["word"]


async def test_what_was_completed_counts_for_the_same_request_only() -> None:
    sessions = Sessions()
    await refused(TWO, sessions, {"device": 1, "auth": {"type": "word", "session": "s", "word": "please"}})
    other = await refused(TWO, sessions, {"device": 2, "auth": {"type": "dummy", "session": "s"}})
    assert other.body()["errcode"] == "M_FORBIDDEN"
    elsewhere = Uia("op2", TWO.subject, TWO.flows, TWO.stages)
    assert (
        "completed"
        not in (await refused(elsewhere, sessions, {"device": 1, "auth": {"session": "s"}})).body()
    )


async def test_a_limit_is_no_failed_attempt() -> None:
    uia = Uia("op", "", [("limited",)], {"limited": limited})
    with pytest.raises(LimitExceeded):
        await authenticate(Sessions(), uia, {"auth": {"type": "limited"}})


@pytest.mark.parametrize(
    "auth", ["x", [], 1, {"type": 1}, {"session": 1}, {"session": ""}, {"session": "x" * 65}]
)
async def test_nonsense(auth: object) -> None:
    with pytest.raises((BadJson, UiaRequired)) as caught:
        await authenticate(Sessions(), ONE, {"auth": auth})
    assert isinstance(caught.value, MatrixError)
    assert caught.value.status in (400, 401)
