"""What is wrong with the log."""

from __future__ import annotations

import pytest
from plexus.platform.doctor import examine

from tests.integration.doctor.conftest import Patient, told

DAMAGE = {
    "DELETE FROM lanes.deployment": ("failure", "how many lanes there are is gone"),
    "DELETE FROM lanes.lane WHERE family = 'u' AND lane = 3": ("failure", "15 user lanes are there instead"),
    "DROP TABLE lanes.fact_1": ("failure", "the partition 1 of the facts is gone"),
    "DROP TABLE lanes.fact_2": ("warning", "no partition of the facts is made ahead"),
    "DELETE FROM lanes.generation": ("failure", "the log has no generation"),
    "UPDATE lanes.lane SET generation = 5 WHERE family = 'r' AND lane = 3": ("failure", "not in the newest"),
    "UPDATE lanes.generation SET system_id = 5": ("warning", "was copied into another PostgreSQL"),
}


@pytest.mark.parametrize("damage", DAMAGE)
async def test_damage(wounded: Patient, damage: str) -> None:
    assert told(await examine(wounded.settings()), "lanes") == []
    wounded.execute(damage)
    [(level, says)] = told(await examine(wounded.settings()), "lanes")
    assert level == DAMAGE[damage][0]
    assert DAMAGE[damage][1] in says


async def test_the_advice_for_a_lost_partition_helps(wounded: Patient) -> None:
    wounded.execute("DROP TABLE lanes.fact_1")
    for statement in next(
        finding.do for finding in await examine(wounded.settings()) if "the partition 1" in finding.says
    ).split("; "):
        wounded.execute(statement)
    assert told(await examine(wounded.settings()), "lanes") == []


async def test_the_database_of_another_server(wounded: Patient) -> None:
    wounded.execute("UPDATE lanes.deployment SET server_name = 'here.example.org'")
    assert told(await examine(wounded.settings()), "name") == []
    wounded.execute("UPDATE lanes.deployment SET server_name = 'there.example.org'")
    [(level, says)] = told(await examine(wounded.settings()), "name")
    assert level == "failure"
    assert "there.example.org" in says
    assert "here.example.org" in says
