"""Metrics as Prometheus and as OTLP, traces when they are exported, and logs with both ids."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from plexus.platform.http import Gateway, HotRoute, Receive, Scope, Send, make_app, send_json
from plexus.platform.logs import configure_logging, mask
from plexus.platform.service import Service
from plexus.platform.settings import TelemetrySettings
from plexus.platform.telemetry import REQUEST, Metrics, RequestContext, Telemetry
from plexus.platform.telemetry.metrics import MAX_SERIES
from plexus.platform.telemetry.request import parse_traceparent

from tests.support.http import AsgiClient
from tests.support.otlp import OtlpReceiver
from tests.unit.platform.surroundings import Surroundings, surroundings


@pytest.fixture
def collector() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as made:
        yield made


def by_name(collector: OtlpReceiver) -> dict[str, Span]:
    return {span.name: span for span in collector.spans()}


def client_of(around: Surroundings) -> AsgiClient:
    async def work(scope: Scope, receive: Receive, send: Send, params: dict[str, str]) -> None:
        with around.telemetry.span("inner", {"n": 1}):
            await asyncio.sleep(0)
        request = REQUEST.get()
        assert request is not None
        await send_json(send, 200, json.dumps([request.trace_id, around.telemetry.traceparent()]).encode())

    route = HotRoute("GET", "/_matrix/federation/w/{id}", work, {"operationId": "w"})
    return AsgiClient(Gateway([Service("t", make_app("t"), [route])], around))


def test_prometheus_text() -> None:
    telemetry = Telemetry(TelemetrySettings(), "test")
    durations = telemetry.metrics.histogram("plexus.work.duration", "s", "Work.", bounds=(0.1, 1.0))
    cell = durations.labels({"kind": "a"})
    for value in (0.05, 0.1, 0.5, 1, 7):
        cell.record(value)
    telemetry.metrics.counter("plexus.done").labels().add(3)
    telemetry.metrics.up_down("plexus.now").labels().add(2)
    telemetry.metrics.up_down("plexus.now").labels().add(-1)
    telemetry.metrics.gauge("plexus.size", lambda: {(("pool", "x"),): 4})
    telemetry.metrics.gauge("plexus.size", lambda: {(("pool", "y"),): 5})
    text = telemetry.prometheus().decode()
    for line in (
        'plexus_work_duration_seconds_bucket{kind="a",le="0.1"} 2.0',
        'plexus_work_duration_seconds_bucket{kind="a",le="1.0"} 4.0',
        'plexus_work_duration_seconds_bucket{kind="a",le="+Inf"} 5.0',
        'plexus_work_duration_seconds_count{kind="a"} 5.0',
        'plexus_work_duration_seconds_sum{kind="a"} 8.65',
        "plexus_done_total 3.0",
        "plexus_now 1.0",
        'plexus_size{pool="x"} 4.0',
        'plexus_size{pool="y"} 5.0',
    ):
        assert line in text
    assert 'service_name="plexus-test"' in text
    assert "process_resident_memory_bytes" in text
    telemetry.shutdown()


def test_instruments_are_shared_by_name_and_bounded() -> None:
    metrics = Metrics()
    assert metrics.counter("a") is metrics.counter("a")
    with pytest.raises(TypeError):
        metrics.histogram("a")
    counter = metrics.counter("many")
    for number in range(MAX_SERIES + 100):
        counter.labels({"n": number}).add()
    assert len(counter.series()) == MAX_SERIES + 1
    assert counter.labels().value == 100


def test_a_metric_that_cannot_be_read_takes_no_other_with_it(caplog: pytest.LogCaptureFixture) -> None:
    telemetry = Telemetry(TelemetrySettings(), "test")

    def broken() -> float:
        raise RuntimeError("not yet")

    telemetry.metrics.gauge("plexus.broken", broken)
    telemetry.metrics.counter("plexus.done").labels().add(3)
    for _ in range(2):
        assert b"plexus_done_total 3.0" in telemetry.prometheus()
    assert caplog.text.count("plexus.broken cannot be read") == 1
    telemetry.shutdown()


def test_a_bucket_keeps_its_latest_exemplar_and_untraced_values_leave_none() -> None:
    cell = Metrics().histogram("plexus.work.duration", bounds=(0.1, 1.0)).labels()
    cell.record(0.5)
    assert cell.exemplars == {}
    for span_id, value in enumerate((0.05, 0.07, 7.0)):
        cell.record_traced(value, 99, span_id)
    assert cell.counts == [2, 1, 1]
    assert cell.total == pytest.approx(7.62)
    assert {bucket: kept[0::3] for bucket, kept in cell.exemplars.items()} == {0: (0.07, 1), 2: (7.0, 2)}


async def test_nothing_is_traced_without_an_exporter() -> None:
    around = surroundings(telemetry={"trace_ratio": 1})
    assert not around.telemetry.tracing
    assert (await client_of(around).get("/_matrix/federation/w/1")).status == 200


async def test_spans_and_metrics_arrive_by_otlp(collector: OtlpReceiver) -> None:
    around = surroundings(
        telemetry={"otlp_endpoint": collector.url, "trace_ratio": 1, "otlp_headers": "x-key=abc"},
        http={"trusted_proxies": ["127.0.0.1/32"]},
    )
    parent = "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"
    answer = await client_of(around).request(
        "GET", "/_matrix/federation/w/1", b"", headers={"traceparent": parent}
    )
    trace_id, onward = answer.ok()
    request = RequestContext("r")
    around.telemetry.begin(request, "GET /x", {})
    with around.telemetry.batch("commit", [request]):
        pass
    assert request.span is not None
    request.span.end()
    await asyncio.to_thread(around.telemetry.shutdown)

    spans = by_name(collector)
    server = spans["GET /_matrix/federation/w/{id}"]
    assert server.trace_id.hex() == trace_id == "ab" * 16
    assert server.parent_span_id.hex() == "cd" * 8
    assert spans["inner"].parent_span_id == server.span_id
    assert onward == f"00-{trace_id}-{server.span_id.hex()}-01"
    [link] = spans["commit"].links
    assert link.span_id == spans["GET /x"].span_id
    assert {headers["x-key"] for headers in collector.headers} == {"abc"}
    names = {metric.name for metric in collector.metrics()}
    assert {"http.server.request.duration", "http.server.active_requests", "process.uptime"} <= names
    # The bucket leads to the trace.
    [duration] = collector.metrics("http.server.request.duration")
    [point] = duration.histogram.data_points
    [exemplar] = point.exemplars
    assert (exemplar.trace_id, exemplar.span_id) == (server.trace_id, server.span_id)
    assert exemplar.as_double == pytest.approx(point.sum)


async def test_a_share_of_requests_is_traced_and_a_sampled_parent_always(collector: OtlpReceiver) -> None:
    around = surroundings(
        telemetry={"otlp_endpoint": collector.url, "trace_ratio": 1e-9},
        http={"trusted_proxies": ["127.0.0.1/32"]},
    )
    client = client_of(around)
    await client.get("/_matrix/federation/w/1")
    trace = "00-" + "ab" * 16 + "-" + "cd" * 8
    unsampled = await client.request(
        "GET", "/_matrix/federation/w/1", b"", headers={"traceparent": trace + "-00"}
    )
    # The trace goes on in logs and calls even where no span is made.
    assert unsampled.ok()[0] == "ab" * 16
    assert unsampled.ok()[1].endswith("-00")
    with around.telemetry.batch("commit", [RequestContext("r")]):
        pass
    await client.request("GET", "/_matrix/federation/w/1", b"", headers={"traceparent": trace + "-01"})
    await asyncio.to_thread(around.telemetry.shutdown)
    assert set(by_name(collector)) == {"GET /_matrix/federation/w/{id}", "inner"}


@pytest.mark.parametrize(
    "text",
    ["", "00-" + "0" * 32 + "-" + "cd" * 8 + "-01", "00-" + "AB" * 16 + "-" + "cd" * 8 + "-01", "01-x"],
)
def test_traceparents_that_are_none(text: str) -> None:
    assert parse_traceparent(text) is None


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    stream = io.StringIO()
    configure_logging(TelemetrySettings(), stream)
    yield stream
    root.handlers[:] = before
    root.setLevel(level)
    logging.captureWarnings(False)


def test_logs_are_json_with_ids_and_without_tokens(logged: io.StringIO) -> None:
    request = RequestContext("r-1")
    token = REQUEST.set(request)
    try:
        logging.getLogger("x").info("used plx_3_aBc-d_ef", extra={"data": {"rooms": 3}})
        try:
            raise ValueError("Bearer syt_abc is wrong")
        except ValueError:
            logging.getLogger("x").exception("failed")
    finally:
        REQUEST.reset(token)
    logging.getLogger("x").debug("not written")
    first, second = map(json.loads, logged.getvalue().splitlines())
    assert first["message"] == "used plx_3_***"
    assert (first["level"], first["logger"], first["rooms"]) == ("info", "x", 3)
    assert (first["request_id"], first["trace_id"]) == ("r-1", request.trace_id)
    assert first["time"].endswith("Z")
    assert second["error"] == "ValueError"
    assert "Traceback" in second["traceback"]
    assert "syt_abc" not in logged.getvalue()


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("GET /x?access_token=abc&y=1", "GET /x?access_token=***&y=1"),
        ('{"access_token": "abc", "a": 1}', '{"access_token": "***", "a": 1}'),
        ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
        ("'password': 'secret', 'a': 1", "'password': '***', 'a': 1"),
        ("password changed", "password changed"),
    ],
)
def test_masking(text: str, masked: str) -> None:
    assert mask(text) == masked
