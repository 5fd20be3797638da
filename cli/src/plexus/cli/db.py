"""`plexus db`: migrations, backup and restore."""

from __future__ import annotations

import typer
from plexus.cli.data_folder import open_folder
from plexus.cli.options import DEFAULT_DATA, Data
from plexus.cli.progress import say
from plexus.cli.store import owner_dsn
from plexus.platform.migrate import migrate as run_migrations

commands = typer.Typer(help="The database: migrate, backup, restore.", no_args_is_help=True)


@commands.command("migrate")
def migrate(data: Data = DEFAULT_DATA) -> None:
    """Bring the database to the form that this code wants. Doing it again changes nothing."""
    with owner_dsn(open_folder(data)) as dsn:
        applied = run_migrations(dsn)
    for name in applied:
        say(f"applied {name}")
    say("the database is up to date")
