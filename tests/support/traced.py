"""A message that can be followed: what a server has to be set to, and the story, for any topology."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
from dataclasses import dataclass

import aiohttp
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from plexus.platform.lanes.torture import VARIABLE as TORTURE

from tests.support.matrix import Client
from tests.support.otlp import OtlpReceiver

SETTINGS = {
    "PLEXUS_TELEMETRY__TRACE_RATIO": "1",
    "PLEXUS_TELEMETRY__METRICS_INTERVAL_SECONDS": "1",
    "PLEXUS_HTTP__TRUSTED_PROXIES": '["127.0.0.1/32"]',
}
"""Of a server, or of every service of a cluster, that is to be followed; with ``OTLP_ENDPOINT`` beside."""

CHAIN = (
    "PUT /_matrix/client/v3/rooms/{roomId}/send/{eventType}/{txnId}",
    "write group",
    "send rooms",
    "process rooms",
    "deliver",
)
"""Each the parent of the next."""


@dataclass
class Traced:
    """A message that was sent with a ``traceparent``, and how long it took to arrive."""

    trace_id: bytes
    caller: bytes
    seconds: float


async def send_to_a_held_sync(writer_url: str, reader_url: str) -> Traced:
    """Alice sends at one address while Bob's sync is held at another, or the same."""
    trace_id, caller = secrets.token_hex(16), secrets.token_hex(8)
    loop = asyncio.get_running_loop()
    async with aiohttp.ClientSession() as session:
        alice = await Client(session, writer_url).register(f"alice{secrets.token_hex(4)}")
        bob = await Client(session, reader_url).register(f"bob{secrets.token_hex(4)}")
        room_id = await alice.create_room(preset="public_chat")
        await bob.join(room_id)
        # That somebody comes online is news too, and may come late.
        quiet = json.dumps({"presence": {"not_types": ["*"]}})
        since = (await bob.sync(filter=quiet))["next_batch"]
        async with asyncio.timeout(20):
            while True:
                held = asyncio.create_task(bob.sync(since, timeout_ms=20_000, filter=quiet))
                await asyncio.sleep(0.5)
                if not held.done():
                    break
                since = held.result()["next_batch"]
        alice.headers["traceparent"] = f"00-{trace_id}-{caller}-01"
        started = loop.time()
        event_id = await alice.send(room_id, "follow me")
        timeline = (await held)["rooms"]["join"][room_id]["timeline"]["events"]
        assert [event["event_id"] for event in timeline] == [event_id]
        return Traced(bytes.fromhex(trace_id), bytes.fromhex(caller), loop.time() - started)


async def follow(receiver: OtlpReceiver, writer_url: str, reader_url: str) -> tuple[Traced, list[Span]]:
    """A message of `send_to_a_held_sync`, and its `the_chain`. Where the fan-out is tortured a group may not
    come, and what its reader finds in the database has no trace: then another message has to do.
    """
    tries, patience = (12, 8.0) if TORTURE in os.environ else (1, 20.0)
    while True:
        traced = await send_to_a_held_sync(writer_url, reader_url)
        tries -= 1
        try:
            return traced, await asyncio.to_thread(the_chain, receiver, traced, patience)
        except AssertionError:
            if not tries:
                raise


def the_chain(receiver: OtlpReceiver, traced: Traced, patience: float) -> list[Span]:
    """The spans from the PUT to the delivery, each the parent of the next."""

    def names() -> set[str]:
        return {span.name for span in receiver.spans(traced.trace_id)}

    # They come from several processes, whose exports may overtake each other.
    assert receiver.wait(lambda: names().issuperset(CHAIN), patience), names()
    spans = receiver.spans(traced.trace_id)
    by_id = {span.span_id: span for span in spans}
    chain = [next(span for span in spans if span.name == "deliver")]
    while (parent := by_id.get(chain[-1].parent_span_id)) is not None:
        chain.append(parent)
    return chain[::-1]
