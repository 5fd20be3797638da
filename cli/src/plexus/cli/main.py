"""The `plexus` command.

plexus up               start everything in one process
plexus serve SERVICE…   start some services, as a process of a cluster
plexus user …           accounts: add, token, reset-password, deactivate
plexus report …         what users have reported: list, remove
plexus notice …         the server says something to a user
plexus db …             migrate, backup, restore, move
plexus doctor           what is wrong, in plain words
"""

from __future__ import annotations

import sys

import typer
from plexus.cli import db, doctor, notice, report, serve, up, user

commands = typer.Typer(
    help="Plexus, a Matrix homeserver.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
commands.command("up")(up.up)
commands.command("serve")(serve.serve)
commands.command("doctor")(doctor.doctor)
commands.command("notice")(notice.notice)
commands.add_typer(db.commands, name="db")
commands.add_typer(user.commands, name="user")
commands.add_typer(report.commands, name="report")


def app() -> None:
    """Run the command; its exit code is 1 if it could not do what it was asked."""
    try:
        commands()
    except Exception as error:
        said = mendable(error)
        if said is None:
            raise
        sys.exit(said)


def mendable(error: Exception) -> str | None:
    """A sentence, if the person at the terminal can do something about it; else None, for a traceback."""
    # Only now: these bring everything along, and most commands end well.
    from plexus.platform.backup import BackupError
    from plexus.platform.embedded import EmbeddedPostgresError
    from plexus.platform.http import ListenError
    from plexus.platform.migrate import RolesMissingError
    from plexus.platform.postgres import StoreUnavailable
    from plexus.platform.schema import SchemaError
    from plexus.platform.settings import SettingsError
    from plexus.platform.signing import SigningKeysError
    from plexus.protocol.errors import MatrixError

    if isinstance(error, MatrixError):
        return error.message
    told = (
        SettingsError,
        SigningKeysError,
        EmbeddedPostgresError,
        StoreUnavailable,
        SchemaError,
        RolesMissingError,
        ListenError,
        BackupError,
    )
    return str(error) if isinstance(error, told) else None
