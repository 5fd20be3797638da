"""What `InternalCalls` promises, of each adapter."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from google.protobuf.wrappers_pb2 import Int64Value, StringValue
from plexus.platform.calls import DirectCalls
from plexus.platform.ports import CallContext, InternalCalls
from plexus.platform.telemetry import REQUEST, RequestContext
from plexus.protocol.errors import (
    Forbidden,
    IncompatibleRoomVersion,
    LimitExceeded,
    MatrixError,
    NotFound,
    Unavailable,
)

from tests.support.calls import SECRET, Calling, Node


@dataclass
class Sides:
    """Who answers and who calls: two processes, or the same one."""

    answering: InternalCalls
    calling: InternalCalls


def traceparent() -> str | None:
    request = REQUEST.get()
    return request.traceparent() if request else None


@pytest.fixture(params=["direct", "http"])
async def sides(request: pytest.FixtureRequest) -> AsyncIterator[Sides]:
    if request.param == "direct":
        direct = DirectCalls(traceparent)
        yield Sides(direct, direct)
        return
    async with Node(secret=SECRET) as node, Calling({"words": node.address}, secret=SECRET) as calling:
        yield Sides(node.calls, calling.calls)


async def test_a_call_is_answered(sides: Sides) -> None:
    contexts: list[CallContext] = []

    async def length(request: StringValue, context: CallContext) -> Int64Value:
        contexts.append(context)
        return Int64Value(value=len(request.value))

    sides.answering.register("words", "Length", StringValue, Int64Value, length)
    request = RequestContext("r-1")
    token = REQUEST.set(request)
    try:
        answer = await sides.calling.call(
            "words", "Length", StringValue(value="four"), Int64Value, deadline_ms=5_000
        )
    finally:
        REQUEST.reset(token)
    assert answer.value == 4
    [context] = contexts
    assert context.request_id == "r-1"
    assert context.traceparent is not None
    assert request.trace_id in context.traceparent
    assert 0 < context.deadline_ms <= 5_000


async def test_an_empty_message_and_a_large_one(sides: Sides) -> None:
    async def twice(request: StringValue, _: CallContext) -> StringValue:
        return StringValue(value=request.value * 2)

    sides.answering.register("words", "Twice", StringValue, StringValue, twice)
    for word in ("", "é" * 500_000):
        answer = await sides.calling.call(
            "words", "Twice", StringValue(value=word), StringValue, deadline_ms=10_000
        )
        assert answer.value == word * 2


async def test_faults(sides: Sides) -> None:
    async def work(request: StringValue, _: CallContext) -> StringValue:
        match request.value:
            case "slow":
                await asyncio.sleep(60)
            case "missing":
                raise NotFound("No such word")
            case "broken":
                raise RuntimeError("a secret")
        return request

    sides.answering.register("words", "Work", StringValue, StringValue, work)

    async def call(word: str, method: str = "Work", deadline_ms: int = 5_000) -> StringValue:
        return await sides.calling.call(
            "words", method, StringValue(value=word), StringValue, deadline_ms=deadline_ms
        )

    with pytest.raises(NotFound, match="No such word"):
        await call("missing")
    with pytest.raises(Unavailable):
        await call("slow", deadline_ms=100)
    with pytest.raises(Unavailable) as caught:
        await call("broken")
    assert "secret" not in caught.value.message
    with pytest.raises(Unavailable):
        await call("x", "Nothing")


@pytest.mark.parametrize(
    "error",
    [
        LimitExceeded(2_500, "Slowly"),
        IncompatibleRoomVersion("99", "É"),
        Forbidden("No", {"why": ["a", {"b": None}]}, {"X-Reason": "so"}),
        MatrixError(418, "ORG.EXAMPLE.TEAPOT", "", {"n": 2**53}),
        Unavailable("Busy", retry_after_ms=7_000),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_an_error_arrives_as_it_was_raised(sides: Sides, error: MatrixError) -> None:
    async def refuse(request: StringValue, _: CallContext) -> StringValue:
        raise error

    sides.answering.register("words", "Refuse", StringValue, StringValue, refuse)
    with pytest.raises(MatrixError) as caught:
        await sides.calling.call("words", "Refuse", StringValue(), StringValue, deadline_ms=5_000)
    found = caught.value
    assert type(found) is type(error)
    assert (found.status, found.body(), found.headers) == (error.status, error.body(), error.headers)


async def test_mistakes_in_our_own_code_are_loud(sides: Sides) -> None:
    async def work(request: StringValue, _: CallContext) -> StringValue:
        return request

    sides.answering.register("words", "Work", StringValue, StringValue, work)
    with pytest.raises(ValueError, match="answered already"):
        sides.answering.register("words", "Work", StringValue, StringValue, work)
    with pytest.raises(TypeError, match="takes"):
        await sides.calling.call("words", "Work", Int64Value(), StringValue, deadline_ms=5_000)
    with pytest.raises(TypeError, match="takes"):
        await sides.calling.call("words", "Work", StringValue(), Int64Value, deadline_ms=5_000)
