"""Connections to Kafka, and whether there is one."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaError, NodeNotReadyError
from aiokafka.structs import TopicPartition
from plexus.platform.settings.cluster import KafkaSettings

log = logging.getLogger(__name__)

AWAY = (KafkaError, OSError, TimeoutError)
"""What a broker that is gone, frozen, refusing or not yet ready makes of a request."""

CLIENT = b"plexus"

ANSWER = 5.0
"""Seconds within which a broker answers, or its connection is given up."""

_METADATA_AGE = 15.0
_CLOSING = 1.0
_AGAIN = 0.25

# It says on each attempt of each request that the broker is away; we say it once.
logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


def connection_arguments(settings: KafkaSettings) -> dict[str, Any]:
    """What aiokafka's clients are made with."""
    arguments: dict[str, Any] = {
        "bootstrap_servers": settings.bootstrap_servers,
        "client_id": CLIENT.decode(),
        "request_timeout_ms": int(ANSWER * 1000),
        "metadata_max_age_ms": int(_METADATA_AGE * 1000),
        "security_protocol": settings.security_protocol,
    }
    if settings.security_protocol.endswith("SSL"):
        arguments["ssl_context"] = ssl.create_default_context(cafile=settings.ca_file)
    if settings.security_protocol.startswith("SASL"):
        password = settings.sasl_password
        arguments["sasl_mechanism"] = settings.sasl_mechanism
        arguments["sasl_plain_username"] = settings.sasl_username or ""
        arguments["sasl_plain_password"] = "" if password is None else password.get_secret_value()
    return arguments


@asynccontextmanager
async def connected(settings: KafkaSettings, topics: Iterable[str]) -> AsyncIterator[Any]:
    """A client that knows the brokers and these topics, as far as they are there; raises of `AWAY`."""
    client = AIOKafkaClient(**connection_arguments(settings))
    try:
        await client.bootstrap()
        await client.set_topics(list(topics))
        yield client
    finally:
        # Closing waits until what is written has gone out, which it never does to a frozen broker.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSING):
                await client.close()


@asynccontextmanager
async def connection_to(
    settings: KafkaSettings, client: Any, node: int
) -> AsyncIterator[tuple[Any, asyncio.StreamWriter]]:
    """A connection of one's own to a broker that ``client`` knows, and its writer; raises of `AWAY`."""
    broker = client.cluster.broker_metadata(node)
    if broker is None:
        raise NodeNotReadyError(f"broker {node}")
    arguments = connection_arguments(settings)
    for of_clients in ("bootstrap_servers", "metadata_max_age_ms"):
        del arguments[of_clients]
    connection = AIOKafkaConnection(broker.host, broker.port, **arguments)
    _, writer = await connection.connect()
    try:
        yield connection, writer
    finally:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSING):
                await connection.close()


def leaders(client: Any, topics: Iterable[str]) -> dict[TopicPartition, int]:
    """The broker that answers for each partition there is; those without one are left out."""
    found = {}
    for topic in topics:
        for partition in client.cluster.partitions_for_topic(topic) or ():
            key = TopicPartition(topic, partition)
            node = client.cluster.leader_for_partition(key)
            if node is not None and node >= 0:
                found[key] = node
    return found


class Moved(Exception):  # noqa: N818 - a finding, not a fault
    """The session has to begin anew, at once: topics, partitions or leaders are others now."""


class Link:
    """One side's connection as metrics and logs show it. ``up`` is None until the first try has ended."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.up: bool | None = None
        self.failures = 0

    def note_up(self) -> None:
        if self.up is not True:
            log.info("Kafka is there (%s)", self.name)
        self.up = True

    def note_away(self, error: BaseException) -> None:
        self.failures += 1
        if self.up is not False:
            says = f"{type(error).__name__}: {error}"
            log.warning("Kafka is away (%s); PostgreSQL is polled instead: %s", self.name, says)
        self.up = False


async def first_to_end(*parts: Coroutine[Any, Any, None]) -> None:
    """Run them until one ends or fails, which ends the others and is what this raises.

    Not a task group: one that fails in the moment in which it is cancelled forgets the cancellation.
    """
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        await asyncio.gather(*(ended(task) for task in tasks))


async def ended(task: asyncio.Task[None]) -> None:
    """Cancel until it has ended: `asyncio.wait_for` of Python 3.11, through which each request goes, forgets
    a cancellation that comes in the moment of the answer.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=1.0)
    if not task.cancelled():
        task.exception()  # looked at, so that asyncio does not complain that nobody did


async def sessions(link: Link, session: Callable[[], Awaitable[None]]) -> None:
    """One session after the other, whatever ends them, until cancelled."""
    while True:
        try:
            await session()
        except Moved:
            continue
        except AWAY as error:
            link.note_away(error)
        except Exception as error:
            # Not ours to decide that nobody is told anything any more: say it, and go on.
            log.exception("the %s of Kafka failed", link.name)
            link.note_away(error)
        await asyncio.sleep(_AGAIN)
