"""The processes of PostgreSQL that serve connections, for tests that kill some."""

from __future__ import annotations

from contextlib import suppress

import psutil


def backends(postgres: int, whose: str = "plexus") -> list[psutil.Process]:
    """Those of a postmaster whose title has ``whose`` in it; others come and go while one looks."""
    found = []
    for backend in psutil.Process(postgres).children():
        with suppress(psutil.NoSuchProcess):
            if whose in " ".join(backend.cmdline()):
                found.append(backend)
    return found
