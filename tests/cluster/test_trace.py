"""One trace follows a message through a cluster: two services, and Kafka in between."""

from __future__ import annotations

import secrets

import aiohttp

from tests.support.cluster import ClusterServer
from tests.support.otlp import attributes_of
from tests.support.traced import CHAIN, follow


async def test_one_trace_from_put_to_sync(cluster: ClusterServer) -> None:
    traced, chain = await follow(cluster.receiver, cluster.base_url, cluster.base_url)

    assert tuple(span.name for span in chain) == CHAIN
    put, group, send, process, deliver = chain
    # The gateway has handed on what the client said.
    assert put.parent_span_id == traced.caller
    services = [cluster.receiver.service_of(span) for span in chain]
    assert services == ["plexus-client-api"] * 3 + ["plexus-sync"] * 2

    calls = [span for span in cluster.receiver.spans(traced.trace_id) if span.name == "rooms.write"]
    [call] = calls
    assert call.parent_span_id == group.span_id
    assert attributes_of(call.attributes)["db.system.name"] == "postgresql"

    # One machine has one clock: published after the commit, processed after that, delivered last.
    assert put.start_time_unix_nano <= group.start_time_unix_nano <= call.start_time_unix_nano
    assert call.end_time_unix_nano <= send.start_time_unix_nano <= process.start_time_unix_nano
    assert process.start_time_unix_nano <= deliver.start_time_unix_nano < deliver.end_time_unix_nano
    assert attributes_of(process.attributes)["messaging.destination.name"] == "rooms"


async def test_a_clients_request_id_comes_back_through_the_gateway(cluster: ClusterServer) -> None:
    given = f"support.case-{secrets.token_hex(4)}"
    url = f"{cluster.base_url}/_matrix/client/versions"
    async with aiohttp.ClientSession() as session:
        async with session.get(url, headers={"X-Request-Id": given}) as answer:
            assert answer.headers["X-Request-Id"] == given
        async with session.get(url, headers={"X-Request-Id": "no id: spaces!"}) as answer:
            assert answer.headers["X-Request-Id"] not in ("", "no id: spaces!")
