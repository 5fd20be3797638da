"""A sound server has nothing but good findings."""

from __future__ import annotations

from pathlib import Path

from plexus.platform.doctor import Finding, examine, settings_findings, worst
from plexus.platform.migrate import READER
from plexus.platform.settings import Settings, SettingsError, load_settings

from tests.integration.doctor.conftest import NO_PORTS, Patient
from tests.support.server import PlexusServer


def bad(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.level != "ok"]


async def test_a_server_by_address(patient: Patient, tmp_path: Path) -> None:
    media = {"store_url": f"file://{tmp_path / 'bucket'}"}
    few = {"writer_pool": 4, "reader_pool": 4, "call_pool": 4}
    reads = {"reader_dsn": patient.server.dsn(READER, patient.name)}
    findings = await examine(patient.settings(media=media, database=reads | few))
    # One process over one PostgreSQL, nothing else.
    assert [finding.topic for finding in bad(findings)] == ["redis", "kafka", "standby"]
    assert worst(findings) == "warning"
    assert {finding.topic for finding in findings} == {
        *("name", "registration", "limits", "keys", "disk", "database"),
        *("locale", "roles", "clock", "migrations", "lanes"),
        *("pooler", "standby", "connections", "media", "redis", "kafka"),
    }
    assert [finding for finding in findings if finding.do] == bad(findings)


def embedded(plexus: PlexusServer) -> Settings:
    return Settings(
        server_name="localhost",
        data_dir=plexus.data,
        listeners={
            **NO_PORTS,
            "client": {"port": plexus.port},
            "internal": {"port": plexus.internal_port},
        },
    )


async def test_an_embedded_server_while_it_runs_and_while_it_does_not(fresh_plexus: PlexusServer) -> None:
    settings = embedded(fresh_plexus)
    running = await examine(settings)
    assert [finding.topic for finding in bad(running)] == ["name"], "it is called localhost"
    assert [finding.says for finding in running if finding.topic == "ports"] == [
        f"Plexus listens on 127.0.0.1 port {fresh_plexus.port}",
        f"Plexus listens on 127.0.0.1 port {fresh_plexus.internal_port}",
    ]
    fresh_plexus.stop()
    stopped = await examine(settings)
    assert [finding.topic for finding in bad(stopped)] == ["name"]
    assert [finding.says.partition(" for ")[0] for finding in stopped if finding.topic == "ports"] == [
        f"127.0.0.1 port {fresh_plexus.port} is free",
        f"127.0.0.1 port {fresh_plexus.internal_port} is free",
    ]
    assert fresh_plexus.postgres_pid() is None, "what was started to look at it is stopped"
    fresh_plexus.start()


async def test_a_folder_in_which_nothing_is_yet(tmp_path: Path) -> None:
    findings = await examine(
        Settings(server_name="here.example.org", data_dir=tmp_path / "data", listeners=NO_PORTS)
    )
    assert bad(findings) == []
    assert not (tmp_path / "data").exists(), "nothing is changed"


def test_settings_that_cannot_be_read() -> None:
    try:
        load_settings(env={"PLEXUS_RATE_LIMIT__ENABLED": "false", "PLEXUS_SERVER_NAM": "x"})
    except SettingsError as error:
        found = settings_findings(error)
    assert [(finding.level, finding.says.partition(":")[0]) for finding in found] == [
        ("failure", "PLEXUS_RATE_LIMIT__ENABLED"),
        ("failure", "PLEXUS_SERVER_NAM"),
    ]
    assert worst(found) == "failure"
