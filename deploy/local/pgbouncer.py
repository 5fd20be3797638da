"""pgbouncer 1.18 in transaction mode, between the services and PostgreSQL.

It carries no prepared statements, so the services have ``database.prepared_statements = false``; a session's
settings do not survive it, so they belong to the roles. Migrations go straight to PostgreSQL.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg
from plexus.platform.embedded.account import choose_account
from plexus.platform.embedded.data_folder import environment, placed

from deploy.local.files import folder_of, write
from deploy.local.installing import need
from deploy.local.postgres import DATABASE
from deploy.local.program import Program

CONFIG = """\
[databases]
{database} = host=127.0.0.1 port={postgres_port} dbname={database}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
pool_mode = transaction
auth_type = trust
auth_file = {here}/users.txt
stats_users = pgbouncer
max_client_conn = 2000
; For each role: together below PostgreSQL's max_connections. A process's calls keep theirs while it is busy.
default_pool_size = {pool}
; A connection to PostgreSQL is made anew at once when it was down.
server_login_retry = 0.2
server_connect_timeout = 5
; A server that is gone without a word is noticed.
tcp_user_timeout = 10000
query_wait_timeout = 10
ignore_startup_parameters = extra_float_digits
log_connections = 0
log_disconnections = 0
log_pooler_errors = 1
"""

USERS = '"plexus_writer" ""\n"plexus_reader" ""\n"pgbouncer" ""\n'


class Pgbouncer(Program):
    """``folder`` gets its files; ``pool`` connections to PostgreSQL for each role."""

    stop_signal = signal.SIGTERM  # at once; SIGINT would wait for clients

    def __init__(
        self, folder: Path, port: int, postgres_port: int, log: Path | None = None, pool: int = 90
    ) -> None:
        super().__init__("pgbouncer", log or folder / "log")
        self.folder = folder.absolute()
        self.port = port
        self.postgres_port = postgres_port
        self.pool = pool

    def dsn(self, role: str, database: str = DATABASE) -> str:
        return psycopg.conninfo.make_conninfo(host="127.0.0.1", port=self.port, user=role, dbname=database)

    def prepare(self) -> None:
        self._program = need("pgbouncer")["pgbouncer"]
        # Like PostgreSQL it refuses to run as root.
        account = choose_account(self.folder)
        folder_of(account, self.folder)
        self._place = placed(self.folder, account)
        config = CONFIG.format(
            database=DATABASE,
            postgres_port=self.postgres_port,
            port=self.port,
            here=self._place.name,
            pool=self.pool,
        )
        write(account, self.folder / "pgbouncer.ini", config)
        write(account, self.folder / "users.txt", USERS)

    def command(self) -> Sequence[str]:
        return [str(self._program), f"{self._place.name}/pgbouncer.ini"]

    def environment(self) -> Mapping[str, str]:
        return environment()

    def popen_arguments(self) -> Mapping[str, Any]:
        return self._place.popen_arguments

    def is_ready(self) -> bool:
        """Whether it answers, be PostgreSQL there or not."""
        try:
            self.show("VERSION")
        except psycopg.OperationalError:
            return False
        return True

    def show(self, what: str) -> list[dict[str, object]]:
        """What its console says: ``POOLS``, ``STATS`` ..."""
        dsn = psycopg.conninfo.make_conninfo(
            host="127.0.0.1", port=self.port, user="pgbouncer", dbname="pgbouncer", connect_timeout=2
        )
        with psycopg.connect(dsn, autocommit=True) as connection:
            # The console speaks the simple protocol only, and its answers are text.
            result = connection.pgconn.exec_(f"SHOW {what}".encode())
            names = [(result.fname(column) or b"").decode() for column in range(result.nfields)]
            return [
                {name: (result.get_value(row, column) or b"").decode() for column, name in enumerate(names)}
                for row in range(result.ntuples)
            ]
