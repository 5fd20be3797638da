"""The database of a data folder, for a command: the running server's, or one started for it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from plexus.cli.data_folder import kept_name
from plexus.cli.options import Data
from plexus.cli.terminal import open_for_command
from plexus.platform.compose import embedded_postgres, open_platform, postgres_folder
from plexus.platform.context import Platform
from plexus.platform.embedded import Address, running
from plexus.platform.migrate import READER, WRITER
from plexus.platform.settings import Settings
from pydantic import SecretStr

T = TypeVar("T")


def must_exist(settings: Settings) -> None:
    """End the command if no server was begun in the folder: a mistyped folder must not become one."""
    if settings.embedded and kept_name(settings.data_dir) is None:
        sys.exit(
            f"there is no server in {settings.data_dir}: `plexus up --data {settings.data_dir}` begins one"
        )


def beside(settings: Settings) -> Address | None:
    """Where the PostgreSQL of a running `plexus up` listens; None if there is none."""
    return running(postgres_folder(settings)) if settings.embedded else None


@contextmanager
def owner_dsn(settings: Settings) -> Iterator[str]:
    """How to connect as the database's owner, until the block ends."""
    database = settings.database
    if database.dsn is not None:
        yield (database.owner_dsn or database.dsn).get_secret_value()
    elif (address := beside(settings)) is not None:
        yield address.dsn()
    else:
        with embedded_postgres(settings) as server:
            yield server.dsn()


def shared(settings: Settings) -> Settings:
    """The settings with which a command joins a running server instead of starting one of its own."""
    address = beside(settings)
    if address is None:
        return settings
    dsns = {"dsn": SecretStr(address.dsn(WRITER)), "reader_dsn": SecretStr(address.dsn(READER))}
    return settings.model_copy(update={"database": settings.database.model_copy(update=dsns)})


def on_platform(data: Data, work: Callable[[Platform], Awaitable[T]]) -> T:
    """Run `work` on the platform of the server in `data`, whether it runs or not."""
    settings = open_for_command(data)
    must_exist(settings)

    async def run() -> T:
        async with open_platform(shared(settings), service="cli") as platform:
            return await work(platform)

    return asyncio.run(run())
