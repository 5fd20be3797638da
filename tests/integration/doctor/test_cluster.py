"""What a cluster can have wrong, each provoked by breaking it."""

from __future__ import annotations

import asyncio
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import psycopg
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from plexus.platform.clock import SystemClock
from plexus.platform.doctor import Finding, examine
from plexus.platform.embedded import EmbeddedPostgres
from plexus.platform.kafka import ensure_topics
from plexus.platform.migrate import READER, WRITER, migrate

from deploy.local.installing import need
from deploy.local.kafka import KafkaBroker
from deploy.local.program import ProgramError, free_port
from tests.integration.doctor.conftest import Patient, told
from tests.support.kafka import kafka_broker  # noqa: F401 - a fixture
from tests.support.pooler import Pooler
from tests.support.redis import (
    Place,
    own_redis,  # noqa: F401 - a fixture
)
from tests.support.s3 import BUCKET, moto


def well(findings: list[Finding], topic: str) -> list[str]:
    return [finding.says for finding in findings if (finding.topic, finding.level) == (topic, "ok")]


def redis_settings(place: Place) -> dict[str, Any]:
    return {"url": place.server.url, "prefix": place.prefix}


async def test_redis(patient: Patient, own_redis: Place) -> None:  # noqa: F811 - the fixture
    settings = patient.settings(redis=redis_settings(own_redis))
    sound = await examine(settings)
    assert told(sound, "redis") == []
    assert len(well(sound, "redis")) == 3

    from redis import Redis

    with Redis.from_url(own_redis.server.url) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        assert [level for level, says in told(await examine(settings), "redis") if "in silence" in says] == [
            "warning"
        ]
        client.config_set("maxmemory-policy", "noeviction")
        client.set("large", b"x" * 3_000_000)
        client.config_set("maxmemory", "1mb")
        [(level, says)] = told(await examine(settings), "redis")
        assert (level, "OOM" in says or "maxmemory" in says) == ("failure", True)
        assert list(client.scan_iter(f"{own_redis.prefix}doctor-*")) == [], "nothing is left"

    own_redis.server.kill()
    [(level, says)] = told(await examine(settings), "redis")
    assert (level, says.startswith("Redis cannot be reached")) == ("failure", True)
    [(level, says)] = told(await examine(patient.settings(redis={"url": "http://here"})), "redis")
    assert (level, says.startswith("redis.url cannot be used")) == ("failure", True)


async def test_clocks(patient: Patient, own_redis: Place) -> None:  # noqa: F811 - the fixture
    class Fast(SystemClock):
        def now_ms(self) -> int:
            return super().now_ms() + 3_000

    findings = await examine(patient.settings(redis=redis_settings(own_redis)), clock=Fast())
    assert [level for level, _ in told(findings, "clock")] == ["warning", "warning"]
    assert {says for _, says in told(findings, "clock")} == {
        "the clocks of this machine and of Redis are 3 seconds apart",
        "the clocks of this machine and of the database are 3 seconds apart",
    }


async def test_object_store(patient: Patient, tmp_path: Path) -> None:
    store = tmp_path / "bucket"
    settings = patient.settings(media={"store_url": f"file://{store}"})
    assert well(await examine(settings), "media") == [f"file://{store} will be made by the first start"]
    assert not store.exists(), "nothing is changed"
    store.mkdir()
    assert well(await examine(settings), "media") == [f"file://{store} can be listed, written to and read"]
    assert [path for path in store.rglob("*") if path.is_file()] == [], "nothing is left"
    (tmp_path / "file").write_text("in the way")
    [(level, says)] = told(
        await examine(patient.settings(media={"store_url": f"file://{tmp_path}/file"})), "media"
    )
    assert (level, "cannot be used" in says) == ("failure", True)
    [(level, says)] = told(await examine(patient.settings()), "media")
    assert (level, "one of their own" in says) == ("warning", True)


async def test_a_bucket_that_may_only_be_read(patient: Patient, tmp_path: Path) -> None:
    with moto(tmp_path) as server:
        settings = patient.settings(media=server.settings())
        assert len(well(await examine(settings), "media")) == 1
        assert server.client().list_objects_v2(Bucket=BUCKET)["KeyCount"] == 0, "nothing is left"
    with answers({"GET": (200, EMPTY_LIST), "PUT": (403, b"<Error><Code>AccessDenied</Code></Error>")}) as at:
        media = server.settings(store_endpoint=at)
        [(level, says)] = told(await examine(patient.settings(media=media)), "media")
        assert (level, "AccessDenied" in says or "403" in says) == ("failure", True), says


async def test_calls(patient: Patient, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as callee:
        address = f"http://127.0.0.1:{callee.getsockname()[1]}"
        secret = {"addresses": {"federation": address}, "secret": "long enough to be one"}
        assert told(await examine(patient.settings(calls=secret)), "calls") == []
        tls = {"addresses": {"federation": address.replace("http", "https")}}
        files = {name: tmp_path / f"{name}.pem" for name in ("certificate", "private_key", "ca_file")}
        [(level, says)] = told(await examine(patient.settings(calls=tls | files)), "calls")
        assert (level, "cannot be used" in says) == ("failure", True)
    assert well(await examine(patient.settings(calls=secret)), "calls") == [
        "services prove themselves by a shared secret"
    ]
    [(level, says)] = told(await examine(patient.settings(calls=secret)), "calls")
    assert (level, says) == ("warning", f"federation does not listen at {address}: Connection refused")


async def test_nothing_that_processes_share(patient: Patient) -> None:
    findings = await examine(patient.settings())
    for topic in ("kafka", "redis"):
        [(level, says)] = told(findings, topic)
        assert (level, says.startswith("there is none: ")) == ("warning", True)


async def test_kafka_and_its_topics(patient: Patient, kafka_broker: KafkaBroker) -> None:  # noqa: F811 - the fixture
    given: dict[str, Any] = {"bootstrap_servers": [kafka_broker.address], "topic_prefix": "sick"}
    settings = patient.settings(kafka=given)
    names = ["sick.rooms", "sick.users"]
    assert told(await examine(settings), "kafka") == [
        ("warning", f"the topic {name} is not there") for name in names
    ]

    assert await ensure_topics(settings.kafka) == names
    findings = await examine(settings)
    assert told(findings, "kafka") == []
    assert well(findings, "kafka") == [
        "one broker",
        "sick.rooms has 8 partitions and keeps records 1 h",
        "sick.users has 8 partitions and keeps records 1 h",
    ]

    async def broken(**configs: str) -> str:
        """What is said of a topic with these, the others as they were."""
        await alter(kafka_broker.address, "sick.rooms", configs)
        [(level, says)] = told(await examine(settings), "kafka")
        assert level == "warning"
        assert says.startswith("sick.rooms ")
        return says

    assert "for ever, and with them" in await broken(retention_ms="-1")
    assert "keeps records 7 days, and with them" in await broken(retention_ms="604800000")
    assert "one lasts 7 days" in await broken(segment_ms="604800000")
    assert "takes records of 1000 bytes only" in await broken(max_message_bytes="1000")
    await alter(kafka_broker.address, "sick.rooms", {})
    assert told(await examine(settings), "kafka") == []
    [first, _] = told(await examine(patient.settings(kafka=given | {"replication": 3})), "kafka")
    assert first[1].startswith("sick.rooms has one copy of each record, and should have 3")
    [first, _] = told(await examine(patient.settings(kafka=given | {"partitions": 16})), "kafka")
    assert first[1].startswith("sick.rooms has 8 partitions, and the settings say 16")
    # Somebody has added some, as one may.
    assert told(await examine(patient.settings(kafka=given | {"partitions": 4})), "kafka") == []

    kafka_broker.kill()
    [(level, says)] = told(await examine(settings), "kafka")
    assert (level, f"{kafka_broker.address} cannot be used" in says) == ("failure", True)


async def alter(address: str, topic: str, configs: dict[str, str]) -> None:
    """Give the topic these settings over those with which Plexus makes it."""
    made = {"retention.ms": "3600000", "segment.ms": "900000", "max.message.bytes": "1048588"}
    wanted = made | {name.replace("_", "."): value for name, value in configs.items()}
    resource = ConfigResource(ConfigResourceType.TOPIC, topic, wanted)
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    try:
        [response] = await admin.alter_configs([resource])
        assert [code for code, *_ in response.resources] == [0]
        async with asyncio.timeout(30):  # the broker hears of it a moment later
            while True:
                [response] = await admin.describe_configs([resource])
                [(_, _, _, _, entries, *_)] = response.resources
                if {entry[0]: entry[1] for entry in entries}.items() >= wanted.items():
                    return
                await asyncio.sleep(0.05)
    finally:
        await admin.close()


EMPTY_LIST = b"<ListBucketResult><KeyCount>0</KeyCount><IsTruncated>false</IsTruncated></ListBucketResult>"


@contextmanager
def answers(said: dict[str, tuple[int, bytes]]) -> Iterator[str]:
    """A server that says these to requests of these methods, whatever is asked; its address."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            code, body = said[self.command]
            self.send_response(code)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_PUT = answer  # noqa: N815 - as http.server calls them

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


async def test_the_roles_of_the_settings(patient: Patient) -> None:
    server, name = patient.server, patient.name
    right = {"reader_dsn": server.dsn(READER, name), "owner_dsn": server.dsn(database=name)}
    findings = await examine(patient.settings(database=right))
    assert told(findings, "roles") == []
    assert len([says for says in well(findings, "roles") if "connects as" in says]) == 3
    swapped = {"reader_dsn": server.dsn(READER, name), "owner_dsn": server.dsn(WRITER, name)}
    findings = await examine(patient.settings(dsn=server.dsn(READER, name), database=swapped))
    assert [says for _, says in told(findings, "roles") if "connects as" in says] == [
        f"database.dsn connects as {READER}, who may not write Plexus' tables",
        f"database.owner_dsn connects as {WRITER}, who does not own Plexus' tables",
    ]
    writes = {"reader_dsn": server.dsn(WRITER, name)}
    [(level, says)] = told(await examine(patient.settings(database=writes)), "roles")
    assert level == "warning"
    assert says.startswith(f"database.reader_dsn connects as {WRITER}, who may write")
    away = {"owner_dsn": f"host=127.0.0.1 port={free_port()}"}
    [(level, says)] = told(await examine(patient.settings(database=away)), "database")
    assert (level, says.startswith("database.owner_dsn leads nowhere")) == ("failure", True)


async def test_standby_and_connections(wounded: Patient) -> None:
    settings = wounded.settings()
    assert [level for level, _ in told(await examine(settings), "standby")] == ["warning"]
    wounded.execute("ALTER SYSTEM SET synchronous_standby_names = 'second'")
    wounded.execute("SELECT pg_reload_conf()")
    try:
        assert well(await examine(settings), "standby") == ["commits wait for a standby (second)"]
    finally:
        wounded.execute("ALTER SYSTEM RESET synchronous_standby_names")
        wounded.execute("SELECT pg_reload_conf()")
    assert (
        told(
            await examine(wounded.settings(database={"writer_pool": 2, "reader_pool": 2, "call_pool": 2})),
            "connections",
        )
        == []
    )
    [(level, says)] = told(await examine(wounded.settings(database={"writer_pool": 50})), "connections")
    assert (level, says.startswith("a process takes up to 66 connections")) == ("warning", True)


@pytest.fixture
def pooled() -> Iterator[tuple[Pooler, Path]]:
    """A pgbouncer that cannot carry prepared statements, before a server; a folder for the patient."""
    try:
        need("pgbouncer")
    except ProgramError as error:
        pytest.skip(str(error))
    folder = Path(tempfile.mkdtemp(prefix="plexus-test-"))
    folder.chmod(0o755)
    port = free_port()
    with EmbeddedPostgres(folder / "postgres", port=port) as server:
        migrate(server.dsn())
        with Pooler(folder / "pooler", port) as pooler:
            yield pooler, folder
    shutil.rmtree(folder)


async def test_a_pooler(patient: Patient, pooled: tuple[Pooler, Path]) -> None:
    pooler, _ = pooled
    version = psycopg.connect(pooler.dsn("plexus", "pgbouncer"), autocommit=True)
    with version:
        said = (version.pgconn.exec_(b"SHOW VERSION").get_value(0, 0) or b"").decode()
    through = pooler.dsn(WRITER)
    findings = await examine(patient.settings(dsn=through, database={"prepared_statements": False}))
    assert told(findings, "pooler") == []
    assert told(findings, "connections") == []
    assert well(await examine(patient.settings()), "pooler") == ["no pooler is between Plexus and PostgreSQL"]
    [(level, says)] = told(await examine(patient.settings(dsn=through)), "pooler")
    if tuple(map(int, said.split()[-1].split(".")[:2])) >= (1, 22):
        assert (level, "several calls on a connection" in says) == ("warning", True)
    else:
        assert (level, "loses prepared statements" in says) == ("failure", True)
