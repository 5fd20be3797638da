"""`make cluster`: the cluster in the foreground, until Ctrl-C or SIGTERM."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from pathlib import Path

from plexus.cli.main import mendable
from plexus.cli.progress import say, step

from deploy.local.cluster import Cluster
from deploy.local.program import ProgramError


def main() -> int:
    parser = argparse.ArgumentParser(prog="make cluster", description=__doc__)
    parser.add_argument("--port", type=int, default=8008, help="where clients connect; 0 takes a free one")
    parser.add_argument("--data", type=Path, default=Path("data-cluster"), help="the folder with all state")
    parser.add_argument("--server-name", default=None, help="of a new folder; never changed later")
    parser.add_argument(
        "--from", dest="origin", type=Path, help="a stopped server's folder, to be moved into a new cluster"
    )
    given = parser.parse_args()
    logging.basicConfig(format="· %(message)s", level=logging.WARNING)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)
    say("Plexus, as a cluster on this machine")
    try:
        cluster = Cluster(
            given.data, given.port, server_name=given.server_name, step=step, origin=given.origin
        )
    except Exception as error:
        if (said := mendable(error)) is None:
            raise
        sys.exit(said)
    try:
        cluster.start()
        welcome(cluster)
        while True:
            signal.pause()
    except ProgramError as error:
        sys.exit(str(error))
    except Exception as error:
        if (said := mendable(error)) is None:
            raise
        sys.exit(said)
    except _Leave:
        say()
    with step("stopping"):
        cluster.stop()
    say("The cluster has stopped.")
    return 0


class _Leave(BaseException):
    """Told to leave, maybe before all was up."""


def _leave(*_: object) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # it takes a moment; impatience must not leave half of it
    raise _Leave


def welcome(cluster: Cluster) -> None:
    """Where it is, how to make the first account, what runs, how to stop."""
    folder = cluster.folder
    say()
    say(f"  Plexus is up:       {cluster.base_url}    server name {cluster.server_name}")
    say(f"  make an account:    .venv/bin/plexus user add NAME --data {folder}")
    say(f"  see what runs:      make cluster-status DATA={folder}")
    say(f"  logs:               {folder / 'logs'}")
    say("  stop it:            Ctrl-C, or SIGTERM")
    say()


if __name__ == "__main__":
    sys.exit(main())
