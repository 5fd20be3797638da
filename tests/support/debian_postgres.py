"""A PostgreSQL of one's own as a cluster has it: of a chosen version, with an empty database."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from plexus.platform.embedded import EmbeddedPostgres

from deploy.local.installing import need
from deploy.local.program import ProgramError


@contextmanager
def a_postgres(major: int, **settings: str) -> Iterator[EmbeddedPostgres]:
    """15 is Debian's, 18 the wheel's. Its superuser is ``plexus``; skips if it cannot be had."""
    try:
        binaries = need("pg_ctl")["pg_ctl"].resolve().parent if major == 15 else None
    except ProgramError as error:
        pytest.skip(str(error))
    folder = Path(tempfile.mkdtemp(prefix="plexus-test-"))
    folder.chmod(0o755)
    try:
        with EmbeddedPostgres(folder / "postgres", binaries=binaries, settings=settings) as server:
            with psycopg.connect(server.dsn()) as connection:
                assert connection.info.server_version // 10_000 == major
            yield server
    finally:
        shutil.rmtree(folder)
