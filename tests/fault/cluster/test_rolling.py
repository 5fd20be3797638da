"""Every process is restarted under load, one by one: no request fails, nothing is lost or doubled."""

from __future__ import annotations

import asyncio

import pytest

from deploy.local.cluster import Cluster
from tests.support.storm import storm


@pytest.mark.timeout(300)
async def test_rolling_restart_of_every_service(cluster: Cluster) -> None:
    async with storm(cluster.base_url) as load:
        for process in cluster.services:
            seconds = await asyncio.to_thread(cluster.restart, process.name)
            print(f"restart {process.name:14s} {seconds:5.2f} s, {load.failures} failed requests", flush=True)
            assert not load.failures, f"requests failed while {process.name} was restarted"
        assert load.answered > 500
    assert not load.failures
