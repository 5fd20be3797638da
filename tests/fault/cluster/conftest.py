"""A cluster of this folder's own: it is killed all the time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.cluster import ClusterServer, clusters


@pytest.fixture(scope="package")
def cluster() -> Iterator[ClusterServer]:
    yield from clusters()
