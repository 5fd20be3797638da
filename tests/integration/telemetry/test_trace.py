"""One trace follows a message: from the PUT through PostgreSQL and the lanes into the other user's sync."""

from __future__ import annotations

import asyncio

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.support.otlp import OtlpReceiver, attributes_of
from tests.support.server import PlexusServer
from tests.support.traced import CHAIN, follow, send_to_a_held_sync


async def test_one_trace_from_put_to_sync(server: PlexusServer, receiver: OtlpReceiver) -> None:
    traced, chain = await follow(receiver, server.base_url, server.base_url)

    assert tuple(span.name for span in chain) == CHAIN
    put, group, send, process, deliver = chain
    assert put.parent_span_id == traced.caller
    kinds = [Span.SPAN_KIND_SERVER, Span.SPAN_KIND_INTERNAL, Span.SPAN_KIND_PRODUCER]
    assert [span.kind for span in chain] == [*kinds, Span.SPAN_KIND_CONSUMER, Span.SPAN_KIND_INTERNAL]

    # The call of PostgreSQL, within the group commit.
    calls = [span for span in receiver.spans(traced.trace_id) if span.name == "rooms.write"]
    [call] = calls
    assert call.parent_span_id == group.span_id
    assert call.kind == Span.SPAN_KIND_CLIENT
    assert attributes_of(call.attributes)["db.system.name"] == "postgresql"

    # Published after the commit and within the group, processed after it, delivered last.
    assert put.start_time_unix_nano <= group.start_time_unix_nano <= call.start_time_unix_nano
    assert call.end_time_unix_nano <= send.start_time_unix_nano <= send.end_time_unix_nano
    assert send.end_time_unix_nano <= group.end_time_unix_nano <= put.end_time_unix_nano
    assert send.start_time_unix_nano <= process.start_time_unix_nano <= process.end_time_unix_nano
    assert process.start_time_unix_nano <= deliver.start_time_unix_nano < deliver.end_time_unix_nano
    assert deliver.end_time_unix_nano - put.start_time_unix_nano < (traced.seconds + 0.5) * 1e9

    messaging = attributes_of(process.attributes)
    assert messaging["messaging.destination.name"] == "rooms"
    assert messaging["messaging.batch.message_count"] == 1
    # The poll has a trace of its own, to which the delivery is linked.
    [link] = deliver.links
    assert await asyncio.to_thread(
        receiver.wait, lambda: any(span.span_id == link.span_id for span in receiver.spans())
    )
    polls = [span for span in receiver.spans() if span.span_id == link.span_id]
    assert [span.name for span in polls] == ["GET /_matrix/client/v3/sync"]
    assert polls[0].trace_id != traced.trace_id
    assert polls[0].start_time_unix_nano < put.start_time_unix_nano


async def test_a_bucket_of_the_duration_leads_to_its_trace(
    server: PlexusServer, receiver: OtlpReceiver
) -> None:
    traced = await send_to_a_held_sync(server.base_url, server.base_url)

    def arrived() -> bool:
        return any(
            exemplar.trace_id == traced.trace_id
            for metric in receiver.metrics("http.server.request.duration")
            for point in metric.histogram.data_points
            if str(attributes_of(point.attributes).get("http.route")).startswith(
                "/_matrix/client/v3/rooms/{roomId}/send"
            )
            for exemplar in point.exemplars
        )

    assert await asyncio.to_thread(receiver.wait, arrived)
