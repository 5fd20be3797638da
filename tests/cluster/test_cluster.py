"""The cluster itself: all is there, is found, comes back, and goes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest

from deploy.local.cluster import REPLICAS
from deploy.local.program import listens
from deploy.local.routes import SERVICES, Route, read_table
from deploy.local.state import read_state
from tests.support.cluster import ClusterServer, what_lacks

ROOT = Path(__file__).resolve().parents[2]


def get(url: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return int(answer.status), answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def status(cluster: ClusterServer) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "deploy.local.status", "--data", str(cluster.folder)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_all_is_there_and_ready(cluster: ClusterServer) -> None:
    for service, count in REPLICAS.items():
        assert len(cluster.of(service)) == count
        for process in cluster.of(service):
            assert get(f"{process.internal_url}/health/ready")[0] == 200
    assert set(cluster.gateway.servers().values()) == {"UP"}
    assert get(f"{cluster.base_url}/_matrix/client/versions")[0] == 200
    state = read_state(cluster.folder / "cluster.json")
    assert state is not None
    assert [program.name for program in state.programs] == [program.name for program in cluster.programs]


def served(cluster: ClusterServer, service: str) -> list[Route]:
    """What the service's replicas themselves say that they answer."""
    found = []
    for process in cluster.of(service):
        code, body = get(f"{process.internal_url}/openapi/{service}.json")
        assert code == 200
        paths = json.loads(body)["paths"]
        found.append([Route(method.upper(), path, service) for path in paths for method in paths[path]])
    assert all(routes == found[0] for routes in found)
    return found[0]


def test_each_service_serves_what_the_table_says_and_no_other(cluster: ClusterServer) -> None:
    table = {route.key: route.service for route in read_table().routes}
    for service in SERVICES:
        for route in served(cluster, service):
            assert table.get(route.key) == service, f"{route.method} {route.path} is served by {service}"


def answered(cluster: ClusterServer) -> dict[str, float]:
    """Requests that each service has answered on some route of its own."""
    found = {}
    for service in SERVICES:
        found[service] = 0.0
        for process in cluster.of(service):
            text = get(f"{process.internal_url}/metrics")[1].decode()
            for labels, count in re.findall(
                r"^http_server_request_duration_seconds_count\{(.*)\} (\S+)$", text, re.MULTILINE
            ):
                if "http_route=" in labels:
                    found[service] += float(count)
    return found


@pytest.mark.parametrize("service", SERVICES)
def test_every_route_is_reached_through_the_gateway(cluster: ClusterServer, service: str) -> None:
    """Whatever the answer: that the right service counted it under a route shows who got it."""
    routes = served(cluster, service)
    before = answered(cluster)
    for route in routes:
        path = re.sub(r"\{[^}]*\}", "x", route.path)
        request = urllib.request.Request(f"{cluster.base_url}{path}", method=route.method, data=None)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                answer.read()
        except urllib.error.HTTPError as error:
            error.read()
    after = answered(cluster)
    assert {name: after[name] - before[name] for name in SERVICES} == {
        name: float(len(routes)) if name == service else 0.0 for name in SERVICES
    }


def test_what_nobody_serves_is_unrecognized(cluster: ClusterServer) -> None:
    for path in ("/", "/_matrix/client/v3/no", "/_matrix/federation/v1/no", "/_matrix/media/v3/no/no/no/no"):
        code, body = get(cluster.base_url + path)
        assert (code, json.loads(body)["errcode"]) == (404, "M_UNRECOGNIZED"), path


def test_a_killed_replica_comes_back(cluster: ClusterServer) -> None:
    before = cluster.restarts("client-api-2")
    pid = cluster["client-api-2"].pid
    cluster["client-api-2"].kill()
    # Safe to ask again, so the gateway does: no GET fails meanwhile.
    for _ in range(100):
        assert get(f"{cluster.base_url}/_matrix/client/v3/login")[0] == 200
    cluster.wait_ready("client-api-2")
    assert cluster["client-api-2"].pid != pid
    assert cluster.restarts("client-api-2") == before + 1


def test_a_frozen_replica_is_left_alone(cluster: ClusterServer) -> None:
    cluster["client-api-1"].freeze()
    try:
        deadline = time.monotonic() + 30
        while cluster.gateway.servers()["client-api-1"] != "DOWN":
            assert time.monotonic() < deadline, cluster.gateway.servers()
            time.sleep(0.1)
        for _ in range(20):
            assert get(f"{cluster.base_url}/_matrix/client/v3/login")[0] == 200
        told = status(cluster)
        assert told.returncode == 1
        assert re.search(r"^client-api-1 +frozen ", told.stdout, re.MULTILINE), told.stdout
    finally:
        cluster["client-api-1"].thaw()
    cluster.wait_ready("client-api-1")


def test_a_restart_fails_no_request(cluster: ClusterServer) -> None:
    """A replica that is told to leave gets no new request before it stops to listen."""
    process = cluster["client-api-1"]
    process.signal(signal.SIGTERM)
    count = 0
    while process.pid and count < 20_000:
        assert get(f"{cluster.base_url}/_matrix/client/v3/login")[0] == 200
        count += 1
        if cluster.restarts("client-api-1") and process.running and process.is_ready():
            break
    assert count > 20
    cluster.wait_ready("client-api-1")


def test_status(cluster: ClusterServer) -> None:
    told = status(cluster)
    assert told.returncode == 0, told.stdout + told.stderr
    count = len(cluster.programs)
    assert f"{count} of {count} ready" in told.stdout
    rows = rows_of(told.stdout)
    for program in cluster.programs:
        row = rows[program.name]
        assert row["STATE"] == "ready"
        assert (row["PID"], row["PORT"]) == (str(program.pid), str(program.port))
        assert re.fullmatch(r"\d\d:\d\d:\d\d", row["SINCE"])
    for process in cluster.services:
        row = rows[process.name]
        assert row.get("GATEWAY") == (None if process.service == "worker" else "UP")
        # Each follows something, and says how far it is.
        assert row.get("LAG", "").isdecimal(), process.name
    assert max(len(line) for line in told.stdout.splitlines()[: count + 3]) <= 110
    assert f"{cluster.folder}/logs/PROGRAM.log" in told.stdout
    assert "64 room lanes with " in told.stdout
    assert "16 user lanes with " in told.stdout


def test_status_of_an_unsound_cluster(cluster: ClusterServer) -> None:
    restarts = cluster.restarts("sync-2")
    cluster.hold("sync-2", kill=True)
    cluster["keys-1"].freeze()
    try:
        deadline = time.monotonic() + 30
        while {cluster.gateway.servers()[name] for name in ("sync-2", "keys-1")} != {"DOWN"}:
            assert time.monotonic() < deadline, cluster.gateway.servers()
            time.sleep(0.1)
        told = status(cluster)
    finally:
        cluster["keys-1"].thaw()
        cluster.release("sync-2")
    assert told.returncode == 1
    count = len(cluster.programs)
    assert f"{count - 2} of {count} ready" in told.stdout.splitlines()[0]
    rows = rows_of(told.stdout)
    assert rows["keys-1"]["STATE"] == "frozen"
    assert rows["keys-1"]["GATEWAY"] == "DOWN"
    # It was told to stay down, so nobody has started it again.
    down = {"PROGRAM": "sync-2", "STATE": "down", "GATEWAY": "DOWN", "RESTARTS": str(restarts)}
    assert rows["sync-2"].items() >= down.items()
    assert not rows["sync-2"].keys() & {"PID", "SINCE", "LAG"}
    cluster.wait_ready()
    assert status(cluster).returncode == 0


def rows_of(text: str) -> dict[str, dict[str, str]]:
    """The table of the status: its cells by program and heading, without those that are empty."""
    lines = text.splitlines()
    begin = next(number for number, line in enumerate(lines) if line.startswith("PROGRAM "))
    words = re.compile(r"\S+(?: \S+)*")
    headings = list(words.finditer(lines[begin]))
    rows = {}
    for line in lines[begin + 1 : lines.index("", begin)]:
        cells = {
            heading.group(): cell.group()
            for cell in words.finditer(line)
            for heading in headings
            if cell.start() == heading.start() or cell.end() == heading.end()
        }
        rows[cells["PROGRAM"]] = cells
    return rows


@pytest.mark.timeout(300)
def test_make_cluster_starts_stops_and_goes_on(tmp_path_factory: pytest.TempPathFactory) -> None:
    """In the foreground, until it is interrupted; then no process and no port is left, and the data are."""
    if (lacking := what_lacks()) is not None:
        pytest.skip(f"no cluster here: {lacking}")
    data = tmp_path_factory.mktemp("cluster") / "data"
    for run in ("first", "second"):
        command = [sys.executable, "-m", "deploy.local.up", "--port", "0", "--data", str(data)]
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if "stop it:" in line:
                break
        state = read_state(data / "cluster.json")
        assert state is not None, said
        add = [str(Path(sys.executable).with_name("plexus")), "user", "add", "alice", "--data", str(data)]
        added = subprocess.run(
            add, cwd=ROOT, input="a long pass phrase\n", capture_output=True, text=True, check=False
        )
        if run == "first":
            assert added.returncode == 0, added.stderr
        else:
            assert "taken" in added.stderr.lower() or added.returncode, "the account was there already"
        children = psutil.Process(process.pid).children(recursive=True)
        assert len(children) > len(state.programs) - 1

        os.kill(process.pid, signal.SIGINT)
        said += process.stdout.read()
        process.stdout.close()
        assert process.wait(60) == 0, said
        assert said.rstrip().endswith("The cluster has stopped.")
        assert not [child for child in children if child.is_running() and child.status() != "zombie"]
        assert not [port for program in state.programs for port in program.ports.values() if listens(port)]
        assert read_state(data / "cluster.json") is None
