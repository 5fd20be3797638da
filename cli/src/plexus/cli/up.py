"""`plexus up`: the whole server in one process, in the foreground."""

from __future__ import annotations

import resource
from typing import Annotated, Any

import typer
from plexus.cli.data_folder import begin_folder, open_folder
from plexus.cli.init import become_init_if_first
from plexus.cli.options import DEFAULT_DATA, Data, Port
from plexus.cli.progress import say, step
from plexus.platform.settings import Settings


def up(
    data: Data = DEFAULT_DATA,
    port: Port = None,
    address: Annotated[
        list[str] | None, typer.Option("--address", help="IP address to listen on.  [default: 127.0.0.1]")
    ] = None,
    internal_port: Annotated[
        int | None, typer.Option("--internal-port", help="Health and metrics.  [default: any]", min=0)
    ] = None,
    server_name: Annotated[
        str | None,
        typer.Option("--server-name", help="Of a new folder; never changed later.  [default: localhost]"),
    ] = None,
) -> None:
    """Start Plexus: five services and their PostgreSQL, state in one folder. Ctrl-C or SIGTERM stops it."""
    become_init_if_first()
    say("Plexus")
    given = overrides(port=port, addresses=address, internal_port=internal_port, server_name=server_name)
    settings = for_a_terminal(open_folder(data, overrides=given))
    if begin_folder(settings):
        say(f"· {data} is new: it becomes the server {settings.server_name}, for ever")
    allow_many_connections()
    with step("loading the services"):
        # Only now: whoever mistyped an option should not wait for half a second of imports.
        from plexus.cli.serving import serve_all
        from plexus.platform.http import run
    run(serve_all(settings))
    say("Plexus has stopped.")


def overrides(
    *,
    port: int | None = None,
    addresses: list[str] | None = None,
    internal_port: int | None = None,
    server_name: str | None = None,
) -> dict[str, Any]:
    """What the command line says, nested as in the settings file."""
    client = {"port": port, "addresses": addresses or None}
    given = {"client": without_none(client), "internal": without_none({"port": internal_port})}
    listeners = {name: values for name, values in given.items() if values}
    return without_none({"server_name": server_name, "listeners": listeners or None})


def without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def for_a_terminal(settings: Settings) -> Settings:
    """Defaults that suit one process in the foreground; what was set, by whatever way, stays as it is.

    Logs are lines for eyes and only what matters; the internal listener takes any free port, so that two
    servers on a machine need not agree about one.
    """
    telemetry, listeners = settings.telemetry, settings.listeners
    quiet = {"log_format": "text", "log_level": "warning"}
    changes = {name: value for name, value in quiet.items() if name not in telemetry.model_fields_set}
    update: dict[str, Any] = {"telemetry": telemetry.model_copy(update=changes)}
    if "port" not in listeners.internal.model_fields_set:
        internal = listeners.internal.model_copy(update={"port": 0})
        update["listeners"] = listeners.model_copy(update={"internal": internal})
    return settings.model_copy(update=update)


def allow_many_connections() -> None:
    """Each held poll is an open file; the usual soft limit of 1,024 is for programs that use select()."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else min(65_536, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
