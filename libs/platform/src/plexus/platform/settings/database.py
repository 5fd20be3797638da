"""PostgreSQL: by address or embedded, its pools, and how long facts are kept."""

from __future__ import annotations

from typing import Annotated

from plexus.platform.settings.section import Section
from pydantic import Field, SecretStr


class EmbeddedSettings(Section):
    """The PostgreSQL that Plexus starts itself when ``database.dsn`` is not set. Its data are in
    ``data_dir``.
    """

    port: Annotated[int, Field(ge=0, le=65535)] = Field(
        default=0, description="TCP port on 127.0.0.1; 0 for a socket in a folder only."
    )
    shared_buffers_mb: Annotated[int, Field(ge=16)] = Field(default=64, description="PostgreSQL's own cache.")
    max_connections: Annotated[int, Field(ge=10)] = Field(
        default=60, description="More than the sum of the pools below, for the command line and backups."
    )
    commit_delay_us: Annotated[int, Field(ge=0, le=100_000)] = Field(
        default=300,
        description="Microseconds a commit waits for others to share its flush; measured: 300 gives "
        "12 % less CPU and 20 % more sends with 16 writers.",
    )


class FactSettings(Section):
    """The log of what changed, kept for replicas and clients that fell behind."""

    retention_days: Annotated[float, Field(gt=0)] = Field(
        default=7, description="Age at which facts are dropped; older sync tokens get limited timelines."
    )
    segment_hours: Annotated[float, Field(gt=0)] = Field(
        default=24, description="How often a new partition of the fact table is begun."
    )
    segments_ahead: Annotated[int, Field(ge=1)] = Field(
        default=2, description="Partitions made before they are needed; fewer than one raises an alert."
    )
    waiting_mb: Annotated[int, Field(ge=1)] = Field(
        default=64,
        description="Memory for facts that have arrived and cannot be taken yet, for one follower or worker; "
        "more are dropped, and read from PostgreSQL when it is their turn.",
    )


class DatabaseSettings(Section):
    """Where the truth is. Without ``dsn`` Plexus starts a PostgreSQL of its own below ``data_dir``."""

    dsn: SecretStr | None = Field(
        default=None,
        description="Address of the primary (``postgresql://user:password@host/database``); empty: embedded.",
    )
    reader_dsn: SecretStr | None = Field(
        default=None, description="Address for reads; empty: the primary with the reader's role."
    )
    owner_dsn: SecretStr | None = Field(
        default=None,
        description="Address as the tables' owner, for ``plexus db`` and ``plexus doctor``; empty: ``dsn``.",
    )
    writer_pool: Annotated[int, Field(ge=1)] = Field(
        default=8, description="Most connections for write transactions, for one process."
    )
    reader_pool: Annotated[int, Field(ge=1)] = Field(
        default=8, description="Most connections for reads, for one process."
    )
    call_pool: Annotated[int, Field(ge=1)] = Field(
        default=8,
        description="Connections that carry the pipelined one-statement writes, for one process; measured: 8 "
        "take half the server's CPU a commit of 3.",
    )
    acquire_timeout_ms: Annotated[int, Field(ge=1)] = Field(
        default=2_000, description="Wait for a free connection; then the answer is 503 with Retry-After."
    )
    call_timeout_ms: Annotated[int, Field(ge=1_000)] = Field(
        default=35_000,
        description="Longest wait for an answer, in whole seconds; then the connection is given up and the "
        "answer is 503. Longer than the roles' ``statement_timeout``: of what PostgreSQL ends itself the "
        "outcome is known.",
    )
    max_waiting: Annotated[int, Field(ge=1)] = Field(
        default=4_000,
        description="Requests that may wait for a connection at a time; more get 503 at once. After a "
        "restart all clients come back in one moment.",
    )
    prepared_statements: bool = Field(
        default=True,
        description="Off behind a pgbouncer in transaction mode: a connection then has one call under way.",
    )
    statement_timeout_ms: Annotated[int, Field(ge=100)] = Field(
        default=30_000, description="Longest statement; given to the roles when they are created."
    )
    lock_timeout_ms: Annotated[int, Field(ge=10)] = Field(
        default=2_000, description="Longest wait for a row; given to the writer's role when it is created."
    )
    embedded: EmbeddedSettings = Field(default=EmbeddedSettings(), description="The embedded PostgreSQL.")
