"""PostgreSQL inside: a server of our own, started as a child, its data in one folder.

    with EmbeddedPostgres(Path("data/postgres")) as server:
        migrate(server.dsn("plexus"))
        async with Database(server.dsn("plexus_writer"), server.dsn("plexus_reader")) as db: ...

Steps of a start:

1. Lock the folder; a second server on it is refused.
2. Find the binaries of the wheel, and an unprivileged account if we are root; copy the binaries where that
   account can reach them, should they lie below a closed folder.
3. Stop what a killed predecessor left running in the folder, and drop the pid file of another machine or
   boot.
4. Make the data folder if there is none; refuse one of another major version.
5. Start the server and a watchdog that stops it when we die. If the server dies, start it again.

It listens on a Unix socket in a folder that only its account and root can enter, and so it asks for no
password.
"""

from plexus.platform.embedded.data_folder import EmbeddedPostgresError
from plexus.platform.embedded.server import MAJOR, Address, EmbeddedPostgres, running

__all__ = ["MAJOR", "Address", "EmbeddedPostgres", "EmbeddedPostgresError", "running"]
