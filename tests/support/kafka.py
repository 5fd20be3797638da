"""A Kafka for tests: one broker a pytest run, started when the first test asks; topics of a module's own.

In a ``conftest.py``::

    from tests.support.kafka import kafka, kafka_broker

``kafka`` (module) are the settings of a process that uses the run's broker. ``kafka_broker`` (function) is a
broker of the test's own, to be killed and frozen. Without Java or Maven tests that ask for them skip.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator
from functools import cache
from itertools import count
from pathlib import Path

import pytest
from plexus.platform.settings.cluster import KafkaSettings

from deploy.local.kafka import KafkaBroker, jars
from deploy.local.program import ProgramError

_numbers = count(1)


@cache
def broker() -> KafkaBroker:
    """The broker of this run; it ends with it."""
    folder = Path(tempfile.mkdtemp(prefix="plexus-kafka-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    made = KafkaBroker(folder)
    atexit.register(made.stop)
    made.start()
    return made


def need_kafka() -> None:
    """Skip where the jars cannot be had; a broker that does not start is a failure."""
    try:
        jars()
    except ProgramError as error:
        pytest.skip(f"no Kafka: {error}")


def kafka_settings(of: KafkaBroker) -> KafkaSettings:
    """Settings with topics that nobody else has."""
    return KafkaSettings(
        bootstrap_servers=[of.address], topic_prefix=f"test-{os.getpid()}-{next(_numbers)}", partitions=4
    )


@pytest.fixture(scope="module")
def kafka() -> KafkaSettings:
    """The run's broker, with topics of the module's own (not yet made)."""
    need_kafka()
    return kafka_settings(broker())


@pytest.fixture
def kafka_broker(tmp_path: Path) -> Iterator[KafkaBroker]:
    """A broker of the test's own, running."""
    need_kafka()
    with KafkaBroker(tmp_path / "kafka") as made:
        yield made
