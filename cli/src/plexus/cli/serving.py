"""What runs inside `plexus up` and `plexus serve`, once the services are loaded."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from plexus.cli.composition import compose
from plexus.cli.progress import say
from plexus.platform.compose import open_platform
from plexus.platform.context import Platform
from plexus.platform.http import Addresses, freeze_garbage, serve
from plexus.platform.settings import Settings, SettingsError

logger = logging.getLogger(__name__)


async def serve_all(settings: Settings) -> None:
    """Start everything, tell the person at the terminal where it is, and serve until told to leave."""
    say("· starting PostgreSQL, bringing its tables up to date")
    async with open_platform(settings, service="all") as platform:
        await keep_name(platform)
        say("· starting client-api, sync, keys, federation, media")
        async with compose(platform) as gateway:

            def started(addresses: Addresses) -> None:
                freeze_garbage()
                welcome(settings, addresses)

            await serve(gateway, platform, started=started)


async def serve_some(settings: Settings, names: Sequence[str]) -> None:
    """Start these services of a cluster, and serve until told to leave."""
    async with open_platform(settings, service="-".join(names), alone=False) as platform:
        await keep_name(platform)
        async with compose(platform, names) as gateway:

            def started(addresses: Addresses) -> None:
                freeze_garbage()
                where = {
                    "client": [url(address) for address in addresses.client],
                    "internal": [url(address) for address in addresses.internal],
                }
                logger.info("%s is up", ", ".join(names), extra={"data": where})

            await serve(gateway, platform, started=started)


async def keep_name(platform: Platform) -> None:
    """Write the server's name into its database at the first start; `SettingsError` if it is another's."""
    name = platform.settings.server_name
    [(kept,)] = await platform.db.call(
        "UPDATE lanes.deployment SET server_name = coalesce(server_name, %s) RETURNING server_name", (name,)
    )
    if kept != name:
        raise SettingsError([f"server_name: the database is the server {kept!r}; it cannot become {name!r}"])


def url(address: tuple[str, int]) -> str:
    host, port = address
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def welcome(settings: Settings, addresses: Addresses) -> None:
    """Where it is, how to make the first account, how to stop."""
    say()
    for address in addresses.client:
        say(f"  Plexus is up:       {url(address)}    server name {settings.server_name}")
    for address in addresses.internal:
        say(f"  health and metrics: {url(address)}/health/ready, /metrics")
    say(f"  make an account:    .venv/bin/plexus user add NAME --data {settings.data_dir}")
    if settings.registration.mode == "open":
        say("                      (and anybody may register)")
    say("  stop it:            Ctrl-C, or SIGTERM")
    say()
