"""`plexus doctor`: what is wrong, in plain words, and what to do about it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

from plexus.cli.options import DEFAULT_DATA, Data, Port
from plexus.cli.progress import say
from plexus.cli.store import must_exist
from plexus.cli.terminal import open_for_command, overrides
from plexus.platform.doctor import Finding, Level, examine, settings_findings, worst
from plexus.platform.settings import SettingsError

MARKS: dict[Level, str] = {"ok": "✓", "warning": "!", "failure": "✗"}


def doctor(data: Data = DEFAULT_DATA, port: Port = None) -> None:
    """Check settings, keys, disk, ports and database; exit code 1 if something must be mended."""
    findings = look(data, port)
    for finding in findings:
        say(f"{MARKS[finding.level]} {finding.topic}: {finding.says}")
        if finding.do:
            say(f"    {finding.do}")
    sys.exit(1 if worst(findings) == "failure" else 0)


def look(data: Data, port: int | None) -> Sequence[Finding]:
    try:
        settings = open_for_command(data, overrides=overrides(port=port))
    except SettingsError as error:
        return settings_findings(error)
    must_exist(settings)
    return asyncio.run(examine(settings))
