"""Where the `plexus` command begins: with what a server's process must do before it is loaded."""

from __future__ import annotations

import sys

from plexus.cli.init import become_init_if_first
from plexus.platform.heap import take_at_once

_MIB = {"up": 60, "serve": 48}
"""The memory that the objects of each take once it serves."""


def main() -> None:
    """Run the command."""
    mib = _MIB.get(sys.argv[1]) if sys.argv[1:] else None
    if mib is not None:
        # Process 1 of a container is to watch, not to hold a server's memory.
        become_init_if_first()
        take_at_once(mib)
    from plexus.cli.main import app

    app()


if __name__ == "__main__":
    main()
