"""`plexus serve`: some of the services in one process of a cluster, in the foreground."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from plexus.cli.up import allow_many_connections, without_collecting
from plexus.platform.settings import SettingsError, load_settings

Names = Annotated[
    list[str],
    typer.Argument(help="client-api, sync, keys, federation, media, worker.", metavar="SERVICE..."),
]


def serve(
    services: Names,
    config: Annotated[
        Path | None, typer.Option("--config", help="TOML file with settings.", dir_okay=False)
    ] = None,
) -> None:
    """Start these services over the PostgreSQL, Kafka and Redis of the settings. SIGTERM drains and stops."""
    settings = load_settings(config)
    if settings.embedded:
        raise SettingsError(
            ["database.dsn: `plexus serve` needs a PostgreSQL; `plexus up` brings one and serves everything"]
        )
    with without_collecting():
        from plexus.cli.composition import SERVICES
        from plexus.cli.serving import serve_some
        from plexus.platform.http import run

    unknown = sorted(set(services) - SERVICES.keys())
    if unknown:
        raise SettingsError([f"there is no service {', '.join(unknown)}; there are {', '.join(SERVICES)}"])
    allow_many_connections()
    run(serve_some(settings, tuple(dict.fromkeys(services))), settings.telemetry)
