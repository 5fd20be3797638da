"""The README's conversation by curl is true: its lines are run as they stand, but for port and folder."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

from tests.support.server import PlexusServer

ROOT = Path(__file__).resolve().parents[2]


def script() -> str:
    """The shell block of the section "A conversation by curl"."""
    section = (ROOT / "README.md").read_text().split("## A conversation by curl", 1)[1]
    found = re.search(r"^```sh\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    assert found, "the section has a block of shell"
    return found[1]


def answers(output: str) -> list[dict[str, object]]:
    """What of the output are JSON objects, a line each."""
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


def test_conversation_by_curl(plexus: PlexusServer, tmp_path: Path) -> None:
    lines = script()
    for mine, theirs in {
        "http://127.0.0.1:8008": plexus.base_url,
        "--data data": f"--data {plexus.data}",
        "> answer.json": f"> {tmp_path}/answer.json",
        "cat answer.json; rm answer.json": f"cat {tmp_path}/answer.json",
    }.items():
        assert mine in lines
        lines = lines.replace(mine, theirs)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PLEXUS_")}
    run = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", lines],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    said = run.stdout + run.stderr
    assert run.returncode == 0, said

    joined = next(answer for answer in answers(run.stdout) if "room_id" in answer)
    room_id = str(joined["room_id"])
    synced = next(answer for answer in answers(run.stdout) if "next_batch" in answer)
    timeline = synced["rooms"]["join"][room_id]["timeline"]  # type: ignore[index]
    (message,) = timeline["events"]
    assert message["content"]["body"] == "Can you hear me, Bob?"
    page = next(answer for answer in answers(run.stdout) if "chunk" in answer)
    assert page["chunk"][0]["event_id"] == message["event_id"]  # type: ignore[index]
    assert {"event_id": message["event_id"]} in answers(run.stdout), "the retry answers the same event"
    redacted = [answer for answer in answers(run.stdout) if answer.get("event_id") == message["event_id"]][-1]
    assert redacted["content"] == {}
    assert {"mood": "cheerful"} in answers(run.stdout)
    assert any(answer.get("displayname") == "Alice A." for answer in answers(run.stdout))
    assert f"200 text/markdown {(ROOT / 'README.md').stat().st_size}" in run.stdout
    assert run.stdout.rstrip().endswith("logged out")
