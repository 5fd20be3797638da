"""The alert rules speak of metrics that a running server shows, and fire when they should."""

from __future__ import annotations

import json
import re
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from deploy.local.installing import need
from deploy.local.program import ProgramError
from tests.support.alerts import CLUSTER, FOLDER, OUTSIDE, metrics_of, rules
from tests.support.server import PlexusServer


@pytest.fixture(scope="module")
def metrics(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, float]]:
    """What a server shows that has answered an initial sync, and woken a held one."""
    with PlexusServer(tmp_path_factory.mktemp("alerts") / "data") as server:
        client = f"{server.base_url}/_matrix/client/v3"
        body = {"username": "alice", "password": "a long pass phrase", "auth": {"type": "m.login.dummy"}}
        account = ask("POST", f"{client}/register", body)
        token, user_id = account["access_token"], account["user_id"]
        since = ask("GET", f"{client}/sync", token=token)["next_batch"]
        with ThreadPoolExecutor(1) as thread:
            held = thread.submit(ask, "GET", f"{client}/sync?since={since}&timeout=20000", token=token)
            until = time.monotonic() + 10
            while shown(server)["plexus_sync_held"] < 1:
                assert time.monotonic() < until, "the poll is not held"
                time.sleep(0.05)
            ask("PUT", f"{client}/user/{user_id}/account_data/org.example.news", {}, token)
            assert held.result()["account_data"]["events"]
        yield shown(server)


def shown(server: PlexusServer) -> dict[str, float]:
    """The metrics now."""
    with urllib.request.urlopen(f"{server.internal_url}/metrics") as answer:
        text = answer.read().decode()
    series = re.findall(r"^(\w+)(?:\{[^}]*\})? (\S+)$", text, re.MULTILINE)
    return {name: float(value) for name, value in series}


def ask(method: str, url: str, body: object = None, token: str | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    with urllib.request.urlopen(urllib.request.Request(url, data, headers, method=method)) as answer:
        return json.load(answer)


def test_every_rule_has_its_metrics_and_a_runbook(metrics: dict[str, float]) -> None:
    assert len({rule["alert"] for rule in rules()}) == len(rules()) >= 20
    for rule in rules():
        names = metrics_of(rule)
        assert names, rule["alert"]
        assert names - OUTSIDE - CLUSTER <= metrics.keys(), rule["alert"]
        assert rule["labels"]["severity"] in ("critical", "warning"), rule["alert"]
        assert rule["annotations"]["summary"], rule["alert"]
        assert rule["annotations"]["runbook"], rule["alert"]


def test_a_sound_server_raises_none(metrics: dict[str, float]) -> None:
    assert metrics["plexus_ready"] == 1
    assert metrics["plexus_eventloop_stalls_total"] == 0
    assert metrics["plexus_lanes_segments_ahead"] >= 1
    assert metrics["plexus_lanes_segment_age_seconds"] < 600
    assert metrics["plexus_lanes_follower_broken"] == 0
    assert metrics["plexus_lanes_follower_failures"] == 0


def test_promtool_accepts_the_rules_and_plays_them() -> None:
    try:
        promtool = need("promtool")["promtool"]
    except ProgramError as error:
        pytest.skip(str(error))
    for command in (["check", "rules", "alerts.yaml"], ["test", "rules", "alerts.test.yaml"]):
        done = subprocess.run(
            [promtool, *command], cwd=FOLDER, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_critical_alert_is_played() -> None:
    played = (FOLDER / "alerts.test.yaml").read_text()
    for rule in rules():
        if rule["labels"]["severity"] == "critical":
            assert f'alertname="{rule["alert"]}"' in played
