"""`plexus up`: the whole server in one process, in the foreground."""

from __future__ import annotations

import gc
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from plexus.cli.data_folder import begin_folder, open_folder
from plexus.cli.options import DEFAULT_DATA, Data, Port
from plexus.cli.progress import say, step
from plexus.cli.terminal import for_a_terminal, overrides


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
    say("Plexus")
    given = overrides(port=port, addresses=address, internal_port=internal_port, server_name=server_name)
    settings = for_a_terminal(open_folder(data, overrides=given))
    if begin_folder(settings):
        say(f"· {data} is new: it becomes the server {settings.server_name}, for ever")
    allow_many_connections()
    with step("loading the services"), without_collecting():
        # Only now: whoever mistyped an option should not wait for half a second of imports.
        from plexus.cli.serving import serve_all
        from plexus.platform.http import run
    run(serve_all(settings), settings.telemetry)
    say("Plexus has stopped.")


@contextmanager
def without_collecting() -> Iterator[None]:
    """Imports throw little away, and the garbage collector would look through all of it again and again: that
    is a tenth of their time.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def allow_many_connections() -> None:
    """Each held poll is an open file; the usual soft limit of 1,024 is for programs that use select()."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else min(65_536, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
