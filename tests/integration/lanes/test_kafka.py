"""Followers over a real Kafka: nothing is lost whatever becomes of the broker, and all of it heals."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from plexus.platform.kafka import KafkaFanout, ensure_topics, inspect, topic_names
from plexus.platform.kafka.connection import connected
from plexus.platform.kafka.publisher import Publisher
from plexus.platform.lanes import ROOM, USER, Fact, Follower, Group, LaneLog, read_lane_map
from plexus.platform.lanes.metrics import observe_follower
from plexus.platform.lanes.records import encode_group
from plexus.platform.postgres import Database
from plexus.platform.settings.cluster import KafkaSettings
from plexus.platform.telemetry.metrics import Counter, Gauge, Metrics
from pydantic import SecretStr

from deploy.local.kafka import KafkaBroker
from deploy.local.program import free_port
from tests.integration.lanes.test_follower import Seen, until
from tests.support.authority import Authority
from tests.support.kafka import kafka, kafka_broker, kafka_settings, need_kafka
from tests.support.lanes import append

__all__ = ["kafka", "kafka_broker"]

MIGRATIONS = ("platform",)


@dataclass
class Process:
    """What a process of a cluster has of the lanes."""

    log: LaneLog
    fanout: KafkaFanout
    metrics: Metrics

    def counted(self, name: str) -> float:
        found = next(each for each in self.metrics.all() if each.name == name)
        assert isinstance(found, Counter)
        return sum(cell.value for _, cell in found.series())

    def read(self, name: str) -> float:
        found = next(each for each in self.metrics.all() if each.name == name)
        assert isinstance(found, Gauge)
        return sum(value for _, value in found.readings())

    async def connected(self, seconds: float = 30.0) -> None:
        await until(lambda: self.fanout.connected, seconds)


Start = Callable[[KafkaSettings], "asyncio.Future[Process]"]


@pytest_asyncio.fixture
async def start(db: Database) -> AsyncIterator[Callable[..., object]]:
    async with AsyncExitStack() as stack:

        async def start(settings: KafkaSettings) -> Process:
            log = LaneLog(db, await read_lane_map(db))
            await log.start()
            metrics = Metrics()
            fanout = KafkaFanout(settings, log.lanes, metrics)
            await fanout.start()
            stack.push_async_callback(fanout.stop)
            return Process(log, fanout, metrics)

        yield start


async def follow(process: Process, seen: Seen, **options: object) -> Follower:
    follower = Follower(process, (ROOM, USER), seen, name="test", **options)  # type: ignore[arg-type]
    observe_follower(process.metrics, follower)
    await follower.start()
    return follower


async def write(db: Database, process: Process, lane: int, count: int = 1, size: int = 5) -> Group:
    """Commit facts and publish them, as a writer does."""
    body = b"e" * size
    facts = [Fact(0, 1, "!a:x", body=body) for _ in range(count)]
    first = await append(db, ROOM, lane, facts)
    group = Group(
        process.log.generation(),
        ROOM,
        lane,
        tuple(Fact(first + i, 1, "!a:x", body=body) for i in range(count)),
    )
    process.fanout.publish(group)
    return group


async def test_in_quiet_all_comes_by_kafka_and_nothing_is_read(
    db: Database, kafka: KafkaSettings, start: Start
) -> None:
    writer, reader = await start(kafka), await start(kafka)
    seen = Seen()
    follower = await follow(reader, seen, idle_poll=60.0, hole_wait=5.0)
    await writer.connected()
    await reader.connected()
    begin = follower.position(ROOM, 1)
    for _ in range(100):
        last = await write(db, writer, 1)
    await until(lambda: follower.position(ROOM, 1) == last.last)
    assert seen.positions(ROOM, 1) == list(range(begin + 1, begin + 101))
    assert follower.stats.read == 0
    assert reader.read("plexus.kafka.up") == 2
    # It is counted when Kafka's answer is read.
    await until(lambda: writer.counted("messaging.client.sent.messages") == 100)
    assert reader.counted("messaging.client.consumed.messages") == 100
    assert reader.read("plexus.kafka.consumer.lag") == 0
    assert reader.read("plexus.lanes.follower.lag") == 0
    assert 0 < reader.read("plexus.lanes.follower.heads_age") < 30
    await follower.stop()


async def test_two_writers_of_one_lane_overtake_one_another_and_nothing_is_lost(
    db: Database, kafka: KafkaSettings, start: Start
) -> None:
    first, second = await start(kafka), await start(kafka)
    seen = Seen()
    # The first follows as well: its own groups come to it at once, and those of the second by Kafka.
    follower = await follow(first, seen)
    await first.connected()
    await second.connected()
    begin = follower.position(ROOM, 2)

    async def writes(process: Process) -> None:
        for _ in range(100):
            await write(db, process, 2)

    await asyncio.gather(writes(first), writes(second))
    await until(lambda: follower.position(ROOM, 2) == begin + 200)
    assert seen.positions(ROOM, 2) == list(range(begin + 1, begin + 201))
    assert follower.stats.broken == 0
    await follower.stop()


async def test_a_large_group_comes_without_its_bodies(
    db: Database, kafka: KafkaSettings, start: Start
) -> None:
    writer, reader = await start(kafka), await start(kafka)
    bodies: list[bytes | None] = []

    def handler(_family: str, _lane: int, facts: object) -> None:
        bodies.extend(fact.body for fact in facts)  # type: ignore[attr-defined]

    follower = Follower(reader, (ROOM, USER), handler, name="test", idle_poll=60.0)
    await follower.start()
    await writer.connected()
    await reader.connected()
    await write(db, writer, 3, count=3, size=450_000)
    await write(db, writer, 3)
    await until(lambda: len(bodies) == 4)
    assert bodies.count(None) == 2
    assert follower.stats.read == 0
    await follower.stop()


async def test_garbage_and_another_generation_are_passed_over(
    db: Database, kafka: KafkaSettings, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    writer, reader = await start(kafka), await start(kafka)
    seen = Seen()
    # All by Kafka: what is read does not wait for what comes that way.
    patient = {"idle_poll": 60.0, "hole_wait": 5.0, "patience": 60.0}
    follower = await follow(reader, seen, on_generation=seen.new_generation, **patient)
    await writer.connected()
    await reader.connected()
    begin = follower.position(ROOM, 4)
    topics = topic_names(kafka)
    publisher: Publisher = writer.fanout._publisher
    publisher.put(topics[ROOM], 4, b"\xff\xff no record of ours", None)
    publisher.put(topics[ROOM], 4, b"", None)
    user = Group(reader.log.generation(), USER, 1, (Fact(1, 1, "@a:x"),))
    publisher.put(topics[ROOM], 4, encode_group(user), None)
    beyond = Group(reader.log.generation(), ROOM, 64, (Fact(1, 1, "!a:x"),))
    publisher.put(topics[ROOM], 4, encode_group(beyond), None)
    old = Group(reader.log.generation() + 12345, ROOM, 4, (Fact(begin + 1, 1, "!nobody:x"),))
    publisher.put(topics[ROOM], 4, encode_group(old), None)
    last = await write(db, writer, 4)
    await until(lambda: follower.position(ROOM, 4) == last.last)
    assert seen.positions(ROOM, 4) == [begin + 1]
    assert seen.generations == []
    assert reader.counted("plexus.kafka.skipped") == 4
    assert caplog.text.count("was skipped") == 1
    await follower.stop()


async def test_more_partitions_are_noticed(
    db: Database, kafka: KafkaSettings, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plexus.platform.kafka.reader._LOOK", 0.3)
    writer, reader = await start(kafka), await start(kafka)
    seen = Seen()
    follower = await follow(reader, seen)
    await writer.connected()
    await reader.connected()
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    await admin.start()
    await admin.create_partitions({topic_names(kafka)[ROOM]: NewPartitions(total_count=6)})
    await admin.close()
    await until(
        lambda: sum(key.topic == topic_names(kafka)[ROOM] for key in reader.fanout._reader._positions) == 6
    )
    await reader.connected()
    begin = follower.position(ROOM, 5)
    for _ in range(20):
        last = await write(db, writer, 5)
    await until(lambda: follower.position(ROOM, 5) == last.last)
    assert seen.positions(ROOM, 5) == list(range(begin + 1, begin + 21))
    await follower.stop()


async def test_topics_are_made_as_the_settings_say_and_only_once(kafka: KafkaSettings) -> None:
    settings = kafka.model_copy(
        update={"topic_prefix": f"{kafka.topic_prefix}-made", "partitions": 3, "retention_hours": 2}
    )
    report = await inspect(settings)
    assert report.error is None
    assert report.brokers == 1
    assert set(report.topics.values()) == {None}
    assert sorted(await ensure_topics(settings)) == sorted(topic_names(settings).values())
    assert await ensure_topics(settings) == []
    report = await inspect(settings)
    for topic in report.topics.values():
        assert topic is not None
        assert (topic.partitions, topic.replication, topic.retention_hours) == (3, 1, 2)
        assert topic.max_message_bytes >= 1_000_000
    async with connected(settings, topic_names(settings).values()):
        pass


async def test_topics_that_are_lost_are_made_again(db: Database, kafka: KafkaSettings, start: Start) -> None:
    settings = kafka.model_copy(update={"topic_prefix": f"{kafka.topic_prefix}-lost"})
    writer, reader = await start(settings), await start(settings)
    seen = Seen()
    follower = await follow(reader, seen)
    await writer.connected()
    await reader.connected()
    begin = follower.position(ROOM, 6)
    for _ in range(10):
        await write(db, writer, 6)
    await until(lambda: follower.position(ROOM, 6) == begin + 10)
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)
    await admin.start()
    await admin.delete_topics(list(topic_names(settings).values()))
    await admin.close()
    for _ in range(20):
        last = await write(db, writer, 6)
        await asyncio.sleep(0.05)
    await until(lambda: follower.position(ROOM, 6) == last.last)
    async with asyncio.timeout(30):
        while (await inspect(settings)).topics.get(topic_names(settings)[ROOM]) is None:
            await asyncio.sleep(0.1)
    await until(lambda: writer.fanout.connected and reader.fanout.connected, 30)
    await heals(db, writer, follower, 6)
    assert seen.positions(ROOM, 6) == list(range(begin + 1, follower.position(ROOM, 6) + 1))
    await follower.stop()


async def test_inspect_says_that_nobody_answers() -> None:
    report = await inspect(KafkaSettings(bootstrap_servers=["127.0.0.1:9"]), timeout=2.0)
    assert report.error is not None
    assert report.topics == {}


async def test_a_start_without_kafka_serves_and_kafka_joins_later(
    db: Database, kafka_broker: KafkaBroker, start: Start
) -> None:
    kafka_broker.stop()
    settings = kafka_settings(kafka_broker)
    began = time.monotonic()
    writer, reader = await start(settings), await start(settings)
    assert time.monotonic() - began < 2
    seen = Seen()
    follower = await follow(reader, seen, idle_poll=0.3)
    begin = follower.position(ROOM, 7)
    last = await write(db, writer, 7, 3)
    await until(lambda: follower.position(ROOM, 7) == last.last)
    await until(lambda: writer.fanout._publisher.link.up is False)
    await asyncio.to_thread(kafka_broker.start)
    await writer.connected()
    await reader.connected()
    assert (await inspect(settings)).topics[topic_names(settings)[ROOM]] is not None
    await heals(db, writer, follower, 7)
    assert seen.positions(ROOM, 7) == list(range(begin + 1, follower.position(ROOM, 7) + 1))
    await follower.stop()


@pytest.mark.timeout(180)
async def test_a_killed_and_a_frozen_broker_lose_nothing_and_heal(
    db: Database, kafka_broker: KafkaBroker, start: Start
) -> None:
    settings = kafka_settings(kafka_broker)
    writer, reader = await start(settings), await start(settings)
    seen = Seen()
    follower = await follow(reader, seen)
    await writer.connected()
    await reader.connected()
    begin = follower.position(ROOM, 8)
    await heals(db, writer, follower, 8)

    kafka_broker.kill()
    slowest = await slowest_of(db, writer, follower, 8, 30)
    # The idle poll once, then ten a second.
    assert slowest < 3
    await asyncio.to_thread(kafka_broker.start)
    await writer.connected()
    await reader.connected()
    await heals(db, writer, follower, 8)

    kafka_broker.freeze()
    try:
        slowest = await slowest_of(db, writer, follower, 8, 30)
        assert slowest < 3
        await asyncio.sleep(7)  # until requests are given up
        await slowest_of(db, writer, follower, 8, 5)
    finally:
        kafka_broker.thaw()
    await writer.connected()
    await reader.connected()
    await heals(db, writer, follower, 8)
    assert seen.positions(ROOM, 8) == list(range(begin + 1, follower.position(ROOM, 8) + 1))
    assert follower.stats.broken == 0

    kafka_broker.freeze()
    try:
        # Whoever stops is not held up by a broker that does not answer.
        began = time.monotonic()
        await follower.stop()
        await writer.fanout.stop()
        assert time.monotonic() - began < 5
    finally:
        kafka_broker.thaw()


async def test_records_come_over_tls_with_a_password(
    db: Database, start: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    need_kafka()
    certificate = Authority(tmp_path).issue("broker")
    keystore = tmp_path / "keystore.pem"
    keystore.write_bytes(
        b"".join(Path(certificate[part]).read_bytes() for part in ("private_key", "certificate", "ca_file"))
    )
    port = free_port()
    login = "org.apache.kafka.common.security.plain.PlainLoginModule"
    properties = {
        "advertised.listeners": f"PLAINTEXT://localhost:{port}",
        "listener.security.protocol.map": "PLAINTEXT:SASL_SSL,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "PLAINTEXT",
        "sasl.mechanism.inter.broker.protocol": "PLAIN",
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.plaintext.plain.sasl.jaas.config": f"{login} required "
        'username="broker" password="b" user_broker="b" user_plexus="secret";',
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(keystore),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": certificate["ca_file"],
    }
    with KafkaBroker(tmp_path / "kafka", port=port, properties=properties) as broker:
        right = kafka_settings(broker).model_copy(
            update={
                "bootstrap_servers": [f"localhost:{port}"],
                "security_protocol": "SASL_SSL",
                "sasl_mechanism": "PLAIN",
                "sasl_username": "plexus",
                "sasl_password": SecretStr("secret"),
                "ca_file": Path(certificate["ca_file"]),
            }
        )
        writer, reader = await start(right), await start(right)
        wrong = await start(right.model_copy(update={"sasl_password": SecretStr("guessed")}))
        follower = await follow(reader, Seen(), idle_poll=60.0)
        await writer.connected()
        await reader.connected()
        # Larger than a record of TLS, and than what is read at once.
        for size in (5, 300_000, 5):
            last = await write(db, writer, 9, size=size)
            await until(lambda last=last: follower.position(ROOM, 9) == last.last)  # type: ignore[misc]
        assert follower.stats.read == 0
        await until(lambda: wrong.fanout._publisher.link.up is False)
        assert "the reader of Kafka failed" not in caplog.text
        broker.kill()
        await until(lambda: not reader.fanout.connected)
        await asyncio.to_thread(broker.start)
        await writer.connected()
        await reader.connected()
        await heals(db, writer, follower, 9)
        await follower.stop()


async def test_a_full_buffer_drops_the_oldest(db: Database, start: Start) -> None:
    settings = KafkaSettings(bootstrap_servers=["127.0.0.1:9"], publish_buffer_mb=1)
    process = await start(settings)
    facts = tuple(Fact(1 + i, 1, "!a:x", body=bytes(100_000)) for i in range(5))
    for _ in range(5):
        process.fanout.publish(Group(1, ROOM, 1, facts))
    assert process.counted("plexus.kafka.dropped") == 3
    assert 500_000 < process.read("plexus.kafka.buffer") <= 1 << 20
    began = time.monotonic()
    await until(lambda: process.fanout._publisher.link.up is False)
    await process.fanout.stop()
    assert time.monotonic() - began < 3
    assert process.counted("plexus.kafka.dropped") == 5
    assert process.read("plexus.kafka.buffer") == 0


async def slowest_of(db: Database, writer: Process, follower: Follower, lane: int, count: int) -> float:
    """Write ``count`` times; the longest that one took to be delivered."""
    slowest = 0.0
    for _ in range(count):
        began = time.monotonic()
        last = await write(db, writer, lane)
        await until(lambda last=last: follower.position(ROOM, lane) >= last.last, 10)  # type: ignore[misc]
        slowest = max(slowest, time.monotonic() - began)
    return slowest


async def heals(db: Database, writer: Process, follower: Follower, lane: int, seconds: float = 20) -> None:
    """Soon all comes by the fan-out again, and PostgreSQL is left alone."""
    async with asyncio.timeout(seconds):
        while True:
            before = follower.stats.read
            for _ in range(10):
                last = await write(db, writer, lane)
                await until(lambda last=last: follower.position(ROOM, lane) >= last.last, 10)  # type: ignore[misc]
            if follower.stats.read == before:
                return
