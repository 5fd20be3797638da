"""`plexus doctor`: what is wrong, in plain words, and what to do about it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from plexus.cli.options import DEFAULT_DATA, Data, Port
from plexus.cli.progress import say
from plexus.cli.terminal import for_a_terminal, open_for_command, overrides
from plexus.platform.settings import Settings, SettingsError, load_settings

if TYPE_CHECKING:
    from plexus.platform.doctor import Finding, Level

MARKS: dict[Level, str] = {"ok": "✓", "warning": "!", "failure": "✗"}


def doctor(
    data: Data = DEFAULT_DATA,
    port: Port = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="TOML file with settings: of a cluster.", dir_okay=False)
    ] = None,
) -> None:
    """Check settings, keys, disk, ports and database; exit code 1 if something must be mended."""
    # Only now, here and below: what examines brings everything along.
    from plexus.platform.doctor import worst

    findings = look(data, port, config)
    for finding in findings:
        say(f"{MARKS[finding.level]} {finding.topic}: {finding.says}")
        if finding.do:
            say(f"    {finding.do}")
    sys.exit(1 if worst(findings) == "failure" else 0)


def look(data: Path, port: int | None, config: Path | None) -> Sequence[Finding]:
    from plexus.cli.store import must_exist
    from plexus.platform.doctor import examine, settings_findings

    try:
        settings = _settings(data, port, config)
    except SettingsError as error:
        return settings_findings(error)
    must_exist(settings)
    return asyncio.run(examine(settings))


def _settings(data: Path, port: int | None, config: Path | None) -> Settings:
    """Of the folder; of a cluster if a file is named, which says itself where its data are."""
    from plexus.platform.logs import configure_logging

    if config is None:
        return open_for_command(data, overrides=overrides(port=port))
    settings = for_a_terminal(load_settings(config, overrides=overrides(port=port)))
    configure_logging(settings.telemetry)
    return settings
