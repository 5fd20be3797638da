"""`plexus db`: migrations, backup and restore, the way to a cluster.

Each command imports what does the work: nobody who asks for help waits for it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from plexus.cli.data_folder import begin_folder, kept_name
from plexus.cli.options import DEFAULT_DATA, Data
from plexus.cli.progress import say
from plexus.cli.terminal import open_for_command

if TYPE_CHECKING:
    from plexus.platform.backup import Step

commands = typer.Typer(help="The database: migrate, backup, restore, move.", no_args_is_help=True)

Place = Annotated[Path, typer.Argument(help="A new folder, or a file that ends in .tar.", metavar="PLACE")]


@commands.command("migrate")
def migrate(data: Data = DEFAULT_DATA) -> None:
    """Bring the database to the form that this code wants. Doing it again changes nothing."""
    from plexus.cli.store import must_exist, owner_dsn
    from plexus.platform.compose import role_settings
    from plexus.platform.migrate import migrate as run_migrations

    settings = open_for_command(data)
    must_exist(settings)
    with owner_dsn(settings) as dsn:
        applied = run_migrations(dsn, role_settings=role_settings(settings.database))
    for name in applied:
        say(f"applied {name}")
    say("the database is up to date")


@commands.command("backup")
def backup(
    place: Place,
    data: Data = DEFAULT_DATA,
    only_database: Annotated[bool, typer.Option("--only-database", help="Without keys and media.")] = False,
) -> None:
    """Copy the server, as it is at one moment, to PLACE; it may run meanwhile. The copy contains secrets."""
    from plexus.cli.store import must_exist, owner_dsn
    from plexus.platform.backup import backup as make_backup
    from plexus.platform.backup import data_files

    settings = open_for_command(data)
    must_exist(settings)
    files = {} if only_database else data_files(settings)
    with owner_dsn(settings) as dsn:
        manifest = make_backup(dsn, place, server_name=settings.server_name, files=files, report=show)
    rows = sum(table.rows for table in manifest.tables)
    say(f"{place}: {rows} rows of {len(manifest.tables)} tables, {len(manifest.files)} files")
    for what in manifest.without:
        say(f"not in it: {what}")


@commands.command("restore")
def restore(
    place: Place,
    data: Data = DEFAULT_DATA,
    replace: Annotated[
        bool, typer.Option("--replace", help="What the server holds now may be lost.")
    ] = False,
) -> None:
    """Make the server in the folder, which must not run, what it was when the backup at PLACE was made.

    Clients go on from there: their newer sync tokens are cut back.
    """
    from plexus.cli.store import beside, owner_dsn
    from plexus.platform.backup import data_files, verify
    from plexus.platform.backup import restore as bring_back

    new = kept_name(data) is None
    settings = open_for_command(data, overrides={"server_name": verify(place).server_name} if new else None)
    if beside(settings) is not None:
        sys.exit(f"the server in {data} is running: stop it first")
    if settings.embedded:
        begin_folder(settings)
    with owner_dsn(settings) as dsn:
        restored = bring_back(
            place,
            dsn,
            server_name=settings.server_name,
            replace=replace,
            files=data_files(settings),
            report=show,
        )
    how = "start it with `plexus up`" if settings.embedded else "start its services"
    say(f"{settings.server_name} is as it was at {restored.manifest.created}; {how}")


@commands.command("move")
def move(
    to: Annotated[Path, typer.Option("--to", help="The cluster's settings.", exists=True, dir_okay=False)],
    data: Data = DEFAULT_DATA,
    replace: Annotated[
        bool, typer.Option("--replace", help="What the target database holds now may be lost.")
    ] = False,
) -> None:
    """Copy the server in the folder, which must not run, into a cluster's PostgreSQL and object store.

    The folder stays as it is. Until this ends well the target holds nothing; then it may be repeated. Clients
    go on with their tokens.
    """
    from plexus.cli.moving import move_to_cluster

    move_to_cluster(data, to, replace=replace, report=show)


def show(step: Step) -> None:
    """A line for each thing that is done."""
    if step.done:
        say(f"· {step.phase} {step.number}/{step.total} {step.name}")
