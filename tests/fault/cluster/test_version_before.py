"""A rolling upgrade: the version before runs beside this one on the new schema and the new facts.

One replica of each service is replaced by the version before and then comes back as this one, each by a
restart under load. So for a while either version writes, follows and answers, and whoever is told by one goes
on at the other with the same tokens.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from deploy.local.cluster import REPLICAS, Cluster
from deploy.local.service import PLEXUS, ServiceProcess
from tests.support import version_before
from tests.support.storm import Load, storm


async def replace(cluster: Cluster, load: Load, processes: list[ServiceProcess], plexus: Path) -> None:
    for process in processes:
        process.plexus = plexus
        seconds = await asyncio.to_thread(cluster.restart, process.name)
        which = "this version" if plexus == PLEXUS else "the version before"
        print(f"{process.name:14s} is {which} after {seconds:5.2f} s", flush=True)
        assert not load.failures, f"requests failed while {process.name} was replaced"


@pytest.mark.timeout(400)
async def test_the_version_before_beside_this_one(cluster: Cluster, tmp_path: Path) -> None:
    try:
        before = version_before.command(tmp_path)
    except version_before.NoHistoryError as error:
        pytest.skip(str(error))
    processes = [cluster.of(service)[-1] for service in REPLICAS]
    try:
        async with storm(cluster.base_url) as load:
            await replace(cluster, load, processes, before)
            answered = load.answered
            await asyncio.sleep(5)
            assert load.answered > answered + 20, "hardly anything was sent to both"
            await replace(cluster, load, processes, PLEXUS)
        assert not load.failures
    finally:
        for process in processes:
            process.plexus = PLEXUS
