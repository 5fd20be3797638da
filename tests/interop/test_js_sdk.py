"""Whole stories through matrix-js-sdk, a client that nobody here wrote: the scripts in js/."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support import node
from tests.support.cluster import ClusterServer
from tests.support.server import PlexusServer

SOURCES = Path(__file__).parent / "js"
STEPS = [
    "register",
    "login",
    "first sync",
    "create room",
    "invite",
    "join",
    "send and receive",
    "paginate backwards",
    "the state of a room with more than its timeline shows",
    "redact",
    "account data",
    "profile",
    "upload and download",
    "leave",
    "log out",
]


COMMUNITY = [
    "three people",
    "a space and its public room",
    "an edit",
    "a reaction",
    "a thread and its notifications",
    "search",
    "moderation",
    "an upgrade",
]


def told(plexus: PlexusServer | ClusterServer, folder: Path, story: str, *arguments: str) -> list[str]:
    """The steps that a story came to; fails with what it said if it did not come to its end."""
    packages = node.installed(SOURCES)
    (folder / "node_modules").symlink_to(packages / "node_modules")
    for name in ("package.json", "people.mjs", story):
        shutil.copy(SOURCES / name, folder)
    run = subprocess.run(
        [str(node.NODE), story, plexus.base_url, *arguments],
        cwd=folder,
        env=node.environment(),
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-8000:]
    return [line.removeprefix("step ") for line in run.stdout.splitlines() if line.startswith("step ")]


@pytest.mark.timeout(400)  # the first run installs the packages
@pytest.mark.parametrize("room_version", ["10", "12"])
def test_conversation(plexus: PlexusServer | ClusterServer, tmp_path: Path, room_version: str) -> None:
    assert told(plexus, tmp_path, "conversation.mjs", room_version) == STEPS


@pytest.mark.timeout(400)
def test_community(plexus: PlexusServer | ClusterServer, tmp_path: Path) -> None:
    assert told(plexus, tmp_path, "community.mjs") == COMMUNITY


def test_the_login_page(plexus: PlexusServer | ClusterServer, tmp_path: Path) -> None:
    """ "Login Fallback": the page's script calls ``window.matrixLogin.onLogin`` with the answer."""
    assert told(plexus, tmp_path, "login.mjs") == ["the page", "a wrong password", "logged in"]
