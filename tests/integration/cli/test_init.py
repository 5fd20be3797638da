"""As process 1 of a container the command reaps orphans, hands on signals and ends as the server ends."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.support.server import PlexusServer

REAPER = """
import ctypes, os, signal, subprocess, sys, time
from plexus.cli.init import watch

PR_SET_CHILD_SUBREAPER = 36  # what process 1 is by birth: the parent of every orphan below it
assert ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
server = os.fork()
if server == 0:
    subprocess.run(["sh", "-c", "sleep 0.2 & echo $!"], check=True)
    def leave(number, frame):
        print("signalled", number, flush=True)
        os._exit(7)
    signal.signal(signal.SIGTERM, leave)
    print("ready", flush=True)
    time.sleep(30)
    os._exit(1)
sys.exit(watch(server))
"""


def test_watch_reaps_forwards_and_ends_as_the_server() -> None:
    process = subprocess.Popen([sys.executable, "-c", REAPER], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    orphan = int(process.stdout.readline())
    assert process.stdout.readline() == "ready\n"
    deadline = time.monotonic() + 10
    while psutil.pid_exists(orphan) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not psutil.pid_exists(orphan), "the orphan stayed as a zombie"
    process.terminate()
    assert process.stdout.readline() == "signalled 15\n"
    assert process.wait(5) == 7


class InANamespace(PlexusServer):
    """`plexus up` as process 1 of a process namespace, as in a container that has no init."""

    def command(self) -> list[str]:
        return ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", *super().command()]

    def signal(self, number: int) -> None:
        """To process 1: unshare itself hands nothing on."""
        psutil.Process(self.pid).children()[0].send_signal(number)


def may_unshare() -> bool:
    if shutil.which("unshare") is None:
        return False
    return subprocess.run(["unshare", "--pid", "--fork", "--mount-proc", "true"], check=False).returncode == 0


@pytest.mark.skipif(not may_unshare(), reason="process namespaces cannot be made here")
def test_process_1(tmp_path: Path) -> None:
    with InANamespace(tmp_path / "data") as server:
        (first,) = psutil.Process(server.pid).children()
        assert first.name() == "plexus"
        (worker,) = first.children()
        assert any(child.name() == "postgres" for child in worker.children())
        assert server.stop() == 0
        assert server.start() < 30, "and again on the same folder"
