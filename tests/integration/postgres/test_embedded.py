"""The embedded server: first start, restart, kill -9 of anything, copies, closed folders, other versions."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from plexus.platform.embedded import EmbeddedPostgres, EmbeddedPostgresError, running
from plexus.platform.embedded.account import can_reach, choose_account
from plexus.platform.embedded.binaries import reachable_binaries, wheel_binaries
from plexus.platform.embedded.data_folder import PidFile

from tests.support.postgres import binaries

as_root = pytest.mark.skipif("os.geteuid() != 0", reason="only root has accounts to choose from")


@pytest.fixture(scope="module")
def prepared() -> Iterator[Path]:
    """A folder in which a server has been: a first start takes a second, and longer on a busy disk."""
    with tempfile.TemporaryDirectory(prefix="plexus-embedded-") as made:
        Path(made).chmod(0o755)
        with EmbeddedPostgres(Path(made) / "postgres", binaries=binaries(), settings={"fsync": "off"}):
            pass
        yield Path(made) / "postgres"


@pytest.fixture
def empty() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="plexus-embedded-") as made:
        path = Path(made)
        path.chmod(0o755)
        yield path


@pytest.fixture
def folder(empty: Path, prepared: Path) -> Path:
    """``postgres`` in it is a server's folder, copied (so it belongs to us, and must be given away)."""
    shutil.copytree(prepared, empty / "postgres")
    return empty


@pytest.fixture
def server(folder: Path) -> Iterator[EmbeddedPostgres]:
    made = EmbeddedPostgres(folder / "postgres", binaries=binaries())
    with made:
        yield made


def ask(dsn: str, query: str) -> object:
    with psycopg.connect(dsn, autocommit=True) as connection:
        row = connection.execute(query.encode()).fetchone()
    return None if row is None else row[0]


def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


def test_a_new_server_is_safe_and_lower_cases_umlauts(server: EmbeddedPostgres) -> None:
    for name, value in {
        "fsync": "on",
        "full_page_writes": "on",
        "synchronous_commit": "on",
        "jit": "off",
        "listen_addresses": "",
        "commit_delay": "300",
        "TimeZone": "UTC",
    }.items():
        assert ask(server.dsn(), f"SHOW {name}") == value
    assert ask(server.dsn(), "SELECT lower('ÄÖÜ')") == "äöü"
    assert ask(server.dsn(), "SHOW server_encoding") == "UTF8"
    # A command's language or library path has no say in it.
    assert str(ask(server.dsn(), "SHOW lc_messages")).startswith("C")


@as_root
def test_as_root_the_server_runs_as_somebody_else(server: EmbeddedPostgres) -> None:
    assert server.pid is not None
    assert os.stat(f"/proc/{server.pid}").st_uid != 0
    assert (server.data.stat().st_mode & 0o777) == 0o700
    assert server.data.stat().st_uid == os.stat(f"/proc/{server.pid}").st_uid


def test_nobody_else_can_reach_the_socket(server: EmbeddedPostgres) -> None:
    run = server.folder / "run"
    assert (run.stat().st_mode & 0o077) == 0
    assert {path.name for path in run.iterdir()} >= {".s.PGSQL.5432"}


def test_data_survive_stop_and_start(server: EmbeddedPostgres) -> None:
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS n")
    server.stop()
    assert running(server.folder) is None
    began = time.monotonic()
    server.start()
    assert time.monotonic() - began < 20
    assert ask(server.dsn(), "SELECT n FROM kept") == 7


def test_a_running_server_is_found_and_a_second_one_refused(server: EmbeddedPostgres) -> None:
    beside = running(server.folder)
    assert beside is not None
    assert beside.dsn() == server.dsn()
    with pytest.raises(EmbeddedPostgresError, match=f"in use by another Plexus .process {os.getpid()}"):
        EmbeddedPostgres(server.folder).start()
    assert ask(server.dsn(), "SELECT 1") == 1


def test_a_killed_server_is_started_again_with_what_was_committed(server: EmbeddedPostgres) -> None:
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS n")
    pid = server.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    until(lambda: server.pid != pid and running(server.folder) is not None)
    assert ask(server.dsn(), "SELECT count(*) FROM kept") == 1000


def test_a_killed_backend_costs_only_its_connections(server: EmbeddedPostgres) -> None:
    backend = ask(server.dsn(), "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'")
    assert isinstance(backend, int)
    pid = server.pid
    os.kill(backend, signal.SIGKILL)

    def answers() -> bool:
        try:
            return ask(server.dsn(), "SELECT 1") == 1
        except psycopg.OperationalError:
            return False

    time.sleep(0.1)
    until(answers)
    assert server.pid == pid


KILLED = """
import os, signal, sys
from pathlib import Path
from plexus.platform.embedded import EmbeddedPostgres
binaries = Path(sys.argv[2]) if len(sys.argv) > 2 else None
server = EmbeddedPostgres(Path(sys.argv[1]), binaries=binaries)
server.start()
print(server.pid, server.dsn(), sep="|", flush=True)
os.kill(os.getpid(), {signal})
"""


def start_and_die(folder: Path, how: str) -> tuple[int, str]:
    """A process that starts the server and dies of it: the server's pid and DSN."""
    arguments = [sys.executable, "-c", KILLED.format(signal=how), str(folder)]
    if (other := binaries()) is not None:
        arguments.append(str(other))
    died = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert died.returncode < 0, died.stderr
    pid, dsn = died.stdout.strip().split("|")
    return int(pid), dsn


def test_the_server_ends_when_its_parent_is_killed(folder: Path) -> None:
    pid, _ = start_and_die(folder / "postgres", "signal.SIGKILL")
    until(lambda: not is_alive(pid))


def test_a_start_right_after_a_kill_waits_for_the_old_server(folder: Path) -> None:
    for _ in range(3):
        start_and_die(folder / "postgres", "signal.SIGKILL")
    with EmbeddedPostgres(folder / "postgres", binaries=binaries()) as server:
        assert ask(server.dsn(), "SELECT 1") == 1


def test_a_server_left_without_watchdog_is_stopped_by_the_next_start(folder: Path) -> None:
    first = EmbeddedPostgres(folder / "postgres", binaries=binaries())
    first.start()
    pid = first.pid
    assert pid is not None
    # As if process and watchdog had died at once.
    first._stopping.set()
    first._end_watchdog()
    assert first._lock is not None
    first._lock.close()
    with EmbeddedPostgres(folder / "postgres", binaries=binaries()) as second:
        assert second.pid != pid
        assert not is_alive(pid)
        assert ask(second.dsn(), "SELECT 1") == 1


def test_a_copy_starts_while_the_original_runs(server: EmbeddedPostgres, folder: Path) -> None:
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS n")
    server.stop()
    server.start()
    # With the pid file of the running original, as a careless copy has it.
    until(lambda: PidFile.read(server.data) is not None)
    pid_file = (server.data / "postmaster.pid").read_bytes()
    server.stop()
    shutil.copytree(server.folder, folder / "copy")
    server.start()
    (folder / "copy" / "data" / "postmaster.pid").write_bytes(
        pid_file.replace(pid_file.split()[0], str(server.pid).encode(), 1)
    )
    with EmbeddedPostgres(folder / "copy", binaries=binaries()) as copy:
        assert ask(copy.dsn(), "SELECT n FROM kept") == 7
        assert ask(server.dsn(), "SELECT n FROM kept") == 7
        assert copy.pid != server.pid


def test_a_stale_pid_file_that_names_some_process_is_no_hindrance(folder: Path) -> None:
    with EmbeddedPostgres(folder / "postgres", binaries=binaries()) as server:
        lines = (server.data / "postmaster.pid").read_text()
    # After a reboot anybody may have the number; here, we ourselves.
    (folder / "postgres/data/postmaster.pid").write_text(lines.replace(lines.split()[0], str(os.getpid()), 1))
    with EmbeddedPostgres(folder / "postgres", binaries=binaries()) as server:
        assert ask(server.dsn(), "SELECT 1") == 1


def test_a_long_path_has_its_socket_elsewhere(folder: Path) -> None:
    deep = folder.joinpath(*["a-rather-long-name-of-a-folder"] * 5)
    shutil.copytree(folder / "postgres", deep)
    shutil.rmtree(deep / "run")
    with EmbeddedPostgres(deep, binaries=binaries()) as server:
        assert len(str(deep)) > 107
        assert ask(server.dsn(), "SELECT 1") == 1
        assert not (deep / "run").exists()


def test_a_short_socket_folder_does_not_outlive_the_next_start(folder: Path) -> None:
    deep = folder.joinpath(*["a-rather-long-name-of-a-folder"] * 5)
    shutil.copytree(folder / "postgres", deep)
    pid, dsn = start_and_die(deep, "signal.SIGKILL")
    until(lambda: not is_alive(pid))
    left = Path(str(psycopg.conninfo.conninfo_to_dict(dsn)["host"]))
    assert left.is_dir()
    assert left.is_relative_to(tempfile.gettempdir())
    with EmbeddedPostgres(deep, binaries=binaries()) as server:
        assert ask(server.dsn(), "SELECT 1") == 1
        now = Path(str(psycopg.conninfo.conninfo_to_dict(server.dsn())["host"]))
        assert now.is_dir()
    assert not left.exists()
    assert not now.exists()


@as_root
@pytest.mark.skipif(binaries() is not None, reason="older servers follow their path")
def test_below_a_closed_folder_the_server_runs_all_the_same(empty: Path) -> None:
    closed = empty / "closed"
    closed.mkdir(mode=0o700)
    account = choose_account(closed / "data")
    assert not can_reach(account, closed)
    for _ in range(2):
        with EmbeddedPostgres(closed / "postgres", binaries=binaries()) as server:
            assert ask(server.dsn(), "SELECT 1") == 1


@as_root
def test_binaries_below_a_closed_folder_are_copied(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = wheel_binaries(18).parents[1]
    closed = empty / "closed"
    closed.mkdir(mode=0o700)
    shutil.copytree(package / "pginstall18", closed / package.name / "pginstall18", symlinks=True)
    libraries = f"{package.name}.libs"
    shutil.copytree(package.parent / libraries, closed / libraries)
    monkeypatch.setattr(
        "plexus.platform.embedded.binaries.HOMES", (empty / "closed" / "no", empty / "home", None)
    )
    account = choose_account(empty / "data")
    found = reachable_binaries(closed / package.name / "pginstall18" / "bin", account)
    assert found.is_relative_to(empty / "home")
    assert reachable_binaries(closed / package.name / "pginstall18" / "bin", account) == found
    with EmbeddedPostgres(empty / "postgres", binaries=found) as server:
        assert ask(server.dsn(), "SELECT 1") == 1
    assert reachable_binaries(wheel_binaries(18), account) == wheel_binaries(18)


def test_a_folder_of_another_major_version_is_refused_in_plain_words(server: EmbeddedPostgres) -> None:
    server.stop()
    (server.data / "PG_VERSION").write_text("16\n")
    with pytest.raises(EmbeddedPostgresError, match=r"made by PostgreSQL 16, and this Plexus brings \d+"):
        server.start()
    # And nothing is left behind that would refuse the next one.
    (server.data / "PG_VERSION").write_text(f"{15 if binaries() else 18}\n")
    server.start()


def test_a_first_start_that_was_broken_off_begins_anew(empty: Path) -> None:
    half = empty / "postgres" / "data.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    with EmbeddedPostgres(empty / "postgres", binaries=binaries()) as server:
        assert ask(server.dsn(), "SELECT 1") == 1


def test_a_server_that_cannot_start_says_why(server: EmbeddedPostgres) -> None:
    server.stop()
    wrong = EmbeddedPostgres(server.folder, binaries=binaries(), settings={"max_connections": "many"})
    with pytest.raises(EmbeddedPostgresError, match="max_connections"):
        wrong.start()
    server.start()


def test_it_listens_on_the_loopback_only_when_told(folder: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with EmbeddedPostgres(folder / "postgres", port=port, binaries=binaries()) as server:
        assert ask(f"host=127.0.0.1 port={port} user=plexus dbname=plexus", "SELECT 1") == 1
        assert ask(server.dsn(), "SHOW listen_addresses") == "127.0.0.1"
