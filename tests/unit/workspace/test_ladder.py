"""The check of proto/ finds what it is there for."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from tests import ladder


def test_no_base_to_compare_with_is_an_error(tmp_path: Path) -> None:
    [problem] = ladder.breaking_changes(tmp_path / "base.binpb")
    assert "base.binpb is missing" in problem


def test_a_field_that_is_gone_is_an_error(tmp_path: Path) -> None:
    """Compared with a past in which the first message of some file had a field more."""
    past = tmp_path / "proto"
    shutil.copytree(ladder.ROOT / "proto", past)
    path = next(path for path in sorted(past.rglob("*.proto")) if "\nmessage " in path.read_text())
    path.write_text(re.sub(r"(\nmessage \w+ \{)", r"\1\n  string gone = 999;", path.read_text(), count=1))
    base = tmp_path / "base.binpb"
    subprocess.run(ladder.tool("buf", "build", str(past), "-o", str(base)), check=True)
    [problem] = ladder.breaking_changes(base)
    assert "cannot bear" in problem
