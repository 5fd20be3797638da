"""Programs beside us: they end with us, and are started again when they end by themselves."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from deploy.local.cluster import Cluster
from deploy.local.ports import Ports
from deploy.local.program import Program, ProgramError
from deploy.local.settings import write_settings
from deploy.local.state import ProgramState, State, read_state, write_state
from deploy.local.supervisor import Supervisor


class Sleeper(Program):
    def command(self) -> Sequence[str]:
        return ["sleep", "100"]

    def is_ready(self) -> bool:
        return True


class Broken(Program):
    def command(self) -> Sequence[str]:
        return ["sh", "-c", "echo this is why; exit 3"]

    def is_ready(self) -> bool:
        return False


def until(what: Callable[[], bool], patience: float = 10) -> bool:
    end = time.monotonic() + patience
    while time.monotonic() < end:
        if what():
            return True
        time.sleep(0.02)
    return False


@pytest.fixture
def changes() -> list[int]:
    return []


@pytest.fixture
def supervisor(changes: list[int]) -> Iterator[Supervisor]:
    made = Supervisor(lambda: changes.append(1))
    made.start()
    yield made
    made.stop()
    for watched in made.all():
        watched.program.stop()


def test_one_that_ends_is_started_again(supervisor: Supervisor, tmp_path: Path, changes: list[int]) -> None:
    sleeper = Sleeper("sleeper", tmp_path / "log")
    supervisor.add(sleeper)
    supervisor.launch("sleeper")
    first = sleeper.pid
    sleeper.kill()
    assert until(lambda: sleeper.running and sleeper.pid != first)
    assert until(lambda: supervisor["sleeper"].restarts == 1)
    assert until(lambda: len(changes) == 2)


def test_one_that_is_let_go_stays_down(supervisor: Supervisor, tmp_path: Path) -> None:
    sleeper = Sleeper("sleeper", tmp_path / "log")
    supervisor.add(sleeper)
    supervisor.launch("sleeper")
    supervisor.release("sleeper")
    sleeper.stop()
    assert not until(lambda: sleeper.running, 0.5)
    assert supervisor["sleeper"].restarts == 0


def test_pauses_grow(supervisor: Supervisor, tmp_path: Path) -> None:
    broken = Broken("broken", tmp_path / "log")
    supervisor.add(broken)
    supervisor.launch("broken")
    assert until(lambda: supervisor["broken"].restarts >= 2)
    assert supervisor["broken"].pause >= 0.4


def test_the_end_of_the_log_is_told(tmp_path: Path) -> None:
    with pytest.raises(ProgramError, match=r"broken has ended \(3\):\nthis is why"):
        Broken("broken", tmp_path / "log").start()


def test_it_ends_with_us_however_that_comes(tmp_path: Path) -> None:
    code = f"""
        import threading, time
        from pathlib import Path
        from tests.unit.deploy.test_programs import Sleeper
        sleeper = Sleeper("sleeper", Path({str(tmp_path)!r}) / "log")
        # Started by a thread that ends, which must not matter.
        thread = threading.Thread(target=sleeper.launch)
        thread.start()
        thread.join()
        time.sleep(0.2)
        print(sleeper.pid, sleeper.running, flush=True)
        time.sleep(100)
    """
    root = Path(__file__).resolve().parents[3]
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True, cwd=root
    )
    assert parent.stdout is not None
    pid, running = parent.stdout.readline().split()
    assert running == "True"
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    assert until(lambda: not psutil.pid_exists(int(pid)) or psutil.Process(int(pid)).status() == "zombie")


def test_ports_are_given_once() -> None:
    ports = Ports()
    given = [ports.free() for _ in range(200)]
    assert len(set(given)) == 200
    assert all(20_000 <= port < 32_768 for port in given)


@pytest.mark.parametrize("shared", [False, True])
def test_a_cluster_does_not_start_at_a_port_that_is_taken(tmp_path: Path, *, shared: bool) -> None:
    """Nor where the other one would share it, as HAProxy does: half of the requests would go there."""
    with socket.socket() as other:
        if shared:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen(1)
        cluster = Cluster(tmp_path / "data", other.getsockname()[1])
        with pytest.raises(ProgramError, match=f"port {cluster.port}: another program listens there"):
            cluster.start()
    assert not any(program.process for program in cluster.programs)


def test_the_settings_file_reads_back(tmp_path: Path) -> None:
    import tomllib

    file = tmp_path / "plexus.toml"
    write_settings(
        file, {"": {"a": 'quo"te'}, "b": {"c": False, "d": ["x"], "e": {"client-api": "http://h"}}}
    )
    assert tomllib.loads(file.read_text()) == {
        "a": 'quo"te',
        "b": {"c": False, "d": ["x"], "e": {"client-api": "http://h"}},
    }
    assert file.stat().st_mode & 0o777 == 0o600


def test_the_state_reads_back(tmp_path: Path) -> None:
    file = tmp_path / "cluster.json"
    assert read_state(file) is None
    program = ProgramState("sync-1", "sync", 7, {"main": 1, "internal": 2}, "/log", 1.5, 3)
    state = State(1, "http://h", "localhost", "/c", "dbname=plexus", [program])
    write_state(file, state)
    assert read_state(file) == state
    assert state.named("sync-1") == program
    assert state.named("sync-2") is None
