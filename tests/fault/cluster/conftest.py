"""A cluster of this folder's own, which is killed all the time, and has two of each service that answers: so
that one may leave.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deploy.local.cluster import REPLICAS
from deploy.local.routes import SERVICES
from tests.support.cluster import ClusterServer, clusters


@pytest.fixture(scope="package")
def cluster() -> Iterator[ClusterServer]:
    yield from clusters(replicas={**REPLICAS, **dict.fromkeys(SERVICES, 2)})
