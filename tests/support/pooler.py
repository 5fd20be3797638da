"""A pgbouncer in transaction mode, whose server can be changed while its clients stay connected."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import psycopg

from deploy.local.installing import need
from deploy.local.program import Program, free_port, listens

ROLES = ("plexus", "plexus_writer", "plexus_reader")

_SETTINGS = """\
[databases]
plexus = host=127.0.0.1 port={target}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {folder}/users.txt
admin_users = plexus
pool_mode = transaction
max_client_conn = 200
default_pool_size = 20
server_login_retry = 0.2
"""


class Pooler(Program):
    """``target``: the port of the PostgreSQL behind it, with the database ``plexus``."""

    stop_signal = signal.SIGINT

    def __init__(self, folder: Path, target: int) -> None:
        super().__init__("pgbouncer", folder / "pgbouncer.log")
        self.folder = folder
        self.port = free_port()
        self._target = target
        self._program = need("pgbouncer")["pgbouncer"]

    def prepare(self) -> None:
        self.folder.mkdir(mode=0o755, exist_ok=True)
        (self.folder / "users.txt").write_text("".join(f'"{role}" ""\n' for role in ROLES))
        self._write()

    def command(self) -> Sequence[str]:
        command = [str(self._program), str(self.folder / "pgbouncer.ini")]
        # It refuses to run as root.
        return [*command, "-u", "nobody"] if os.geteuid() == 0 else command

    def is_ready(self) -> bool:
        return listens(self.port)

    def dsn(self, role: str, database: str = "plexus") -> str:
        return f"host=127.0.0.1 port={self.port} user={role} dbname={database}"

    def lead_to(self, target: int) -> None:
        """Connect to another server from now on. The clients notice nothing."""
        self._target = target
        self._write()
        with psycopg.connect(self.dsn("plexus", "pgbouncer"), autocommit=True) as console:
            for word in (b"RELOAD", b"RECONNECT"):
                console.pgconn.exec_(word)
        time.sleep(0.3)  # it looks at its connections three times a second

    def _write(self) -> None:
        text = _SETTINGS.format(target=self._target, port=self.port, folder=self.folder)
        (self.folder / "pgbouncer.ini").write_text(text)
