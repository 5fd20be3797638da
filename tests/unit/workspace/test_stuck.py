"""What the tests' own tools do about a test that never ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.stuck import EXIT_CODE, GRACE

ROOT = Path(__file__).resolve().parents[3]

CONFTEST = "from tests.conftest import pytest_addoption, pytest_configure, pytest_runtest_protocol\n"

HANGS = """
import asyncio, time

async def waits_for(event):
    await event.wait()

async def test_it():
    # Whatever the timeout raises, it meets this callback, of which the loop only notes the end.
    loop = asyncio.get_running_loop()
    def again():
        time.sleep(0.05)
        loop.call_soon(again)
    again()
    await asyncio.create_task(waits_for(asyncio.Event()), name="patient")
"""


def test_a_test_that_outlives_its_timeout_is_told_of_and_ends_the_run(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_hangs.py").write_text(HANGS)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-o", "asyncio_mode=auto", "--timeout", "1", "--rootdir", "."],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), GRACE: "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == EXIT_CODE
    assert "test_hangs.py::test_it goes on after its timeout" in done.stderr
    told = done.stderr.split("Task patient:")[1].splitlines()
    assert "in waits_for" in told[1]
    assert "in Event.wait" in told[2]
