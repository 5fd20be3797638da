"""The database of a data folder, for a command: the running server's, or one started for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from plexus.platform.embedded import EmbeddedPostgres, running
from plexus.platform.settings import Settings
from pydantic import SecretStr


@contextmanager
def owner_dsn(settings: Settings) -> Iterator[str]:
    """How to connect as the database's owner, until the block ends."""
    if settings.database.dsn is not None:
        yield settings.database.dsn.get_secret_value()
        return
    folder = settings.data_dir / "postgres"
    beside = running(folder)
    if beside is not None:
        yield beside.dsn()
        return
    with EmbeddedPostgres(folder) as server:
        yield server.dsn()


def by_address(settings: Settings, dsn: str) -> Settings:
    """The same settings with the database at `dsn`: what is done beside a running server starts none."""
    database = settings.database.model_copy(update={"dsn": SecretStr(dsn)})
    return settings.model_copy(update={"database": database})
