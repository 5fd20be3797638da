"""What `InternalCalls` promises, of each adapter."""

from __future__ import annotations

import asyncio

import pytest
from google.protobuf.wrappers_pb2 import Int64Value, StringValue
from plexus.platform.calls import DirectCalls
from plexus.platform.ports import CallContext, InternalCalls
from plexus.platform.telemetry import REQUEST, RequestContext
from plexus.protocol.errors import NotFound, Unavailable


def traceparent() -> str | None:
    request = REQUEST.get()
    return request.traceparent() if request else None


@pytest.fixture(params=["direct"])
def calls(request: pytest.FixtureRequest) -> InternalCalls:
    return DirectCalls(traceparent)


async def test_a_call_is_answered(calls: InternalCalls) -> None:
    contexts: list[CallContext] = []

    async def length(request: StringValue, context: CallContext) -> Int64Value:
        contexts.append(context)
        return Int64Value(value=len(request.value))

    calls.register("words", "Length", StringValue, Int64Value, length)
    request = RequestContext("r-1")
    token = REQUEST.set(request)
    try:
        answer = await calls.call("words", "Length", StringValue(value="four"), Int64Value, deadline_ms=1_000)
    finally:
        REQUEST.reset(token)
    assert answer.value == 4
    [context] = contexts
    assert context.request_id == "r-1"
    assert context.traceparent is not None
    assert request.trace_id in context.traceparent
    assert 0 < context.deadline_ms <= 1_000


async def test_faults(calls: InternalCalls) -> None:
    async def work(request: StringValue, _: CallContext) -> StringValue:
        match request.value:
            case "slow":
                await asyncio.sleep(60)
            case "missing":
                raise NotFound("No such word")
            case "broken":
                raise RuntimeError("a secret")
        return request

    calls.register("words", "Work", StringValue, StringValue, work)

    async def call(word: str, method: str = "Work") -> StringValue:
        return await calls.call("words", method, StringValue(value=word), StringValue, deadline_ms=50)

    with pytest.raises(NotFound, match="No such word"):
        await call("missing")
    with pytest.raises(Unavailable):
        await call("slow")
    with pytest.raises(Unavailable) as caught:
        await call("broken")
    assert "secret" not in caught.value.message
    with pytest.raises(Unavailable):
        await call("x", "Nothing")


async def test_mistakes_in_our_own_code_are_loud(calls: InternalCalls) -> None:
    async def work(request: StringValue, _: CallContext) -> StringValue:
        return request

    calls.register("words", "Work", StringValue, StringValue, work)
    with pytest.raises(ValueError, match="answered already"):
        calls.register("words", "Work", StringValue, StringValue, work)
    with pytest.raises(TypeError, match="takes"):
        await calls.call("words", "Work", Int64Value(), StringValue, deadline_ms=50)
    with pytest.raises(TypeError, match="takes"):
        await calls.call("words", "Work", StringValue(), Int64Value, deadline_ms=50)
