"""`plexus report ...`: what users have reported, for who administers the server."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from plexus.cli.options import DEFAULT_DATA, Data
from plexus.cli.progress import say

if TYPE_CHECKING:
    from plexus.client_api.reports.queries import Report

commands = typer.Typer(help="Reports of events, rooms and users: list, remove.", no_args_is_help=True)


@commands.command("list")
def list_reports(
    data: Data = DEFAULT_DATA,
    limit: Annotated[int, typer.Option("--limit", help="At most so many.", min=1, max=10_000)] = 50,
    before: Annotated[
        int | None, typer.Option("--before", help="Only those with a smaller number.", min=1, max=2**63 - 1)
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="A line of JSON each, with the reported event.")
    ] = False,
) -> None:
    """Show what was reported, the newest first."""
    # Only now, here and below: whoever asks for help should not wait for it.
    from plexus.cli.store import on_platform
    from plexus.client_api.reports.queries import NEWEST, newest

    reports = on_platform(
        data, lambda platform: newest(platform.db, limit=limit, before=NEWEST if before is None else before)
    )
    for report in reports:
        say(json.dumps(asdict(report)) if as_json else in_words(report))
    if not reports and not as_json:
        say("nothing is reported")


@commands.command("remove")
def remove_reports(
    numbers: Annotated[list[int], typer.Argument(help="Numbers of reports.", min=1, max=2**63 - 1)],
    data: Data = DEFAULT_DATA,
) -> None:
    """Forget reports that are dealt with."""
    from plexus.cli.store import on_platform
    from plexus.client_api.reports.queries import remove

    gone = on_platform(data, lambda platform: remove(platform.db, numbers))
    missing = [str(number) for number in dict.fromkeys(numbers) if number not in gone]
    if gone:
        say(f"removed: {', '.join(map(str, sorted(gone)))}")
    if missing:
        sys.exit(f"there is no report {', '.join(missing)}")


def in_words(report: Report) -> str:
    """One line, and one with the reason."""
    when = datetime.fromtimestamp(report.received_ts / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    if report.kind == "event":
        subject = f"event {report.event_id} by {report.user_id} in {report.room_id}"
    else:
        subject = f"{report.kind} {report.room_id or report.user_id}"
    line = f"{report.report_id}  {when}  {printable(f'{report.reporter} reports {subject}')}"
    return f"{line}\n    {printable(report.reason)}" if report.reason else line


def printable(text: str) -> str:
    """The text without what a terminal would obey."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
