"""A whole cluster on this machine: PostgreSQL, pgbouncer, Kafka, Redis, the services and a gateway.

    with Cluster(folder, port=8008) as cluster:
        requests.get(f"{cluster.base_url}/_matrix/client/versions")
        cluster["sync-1"].kill()                  # it is started again
        cluster.wait_ready("sync-1")

Programs are known by name: ``postgres``, ``pgbouncer``, ``kafka``, ``redis``, ``client-api-1``,
``client-api-2``, ``sync-1`` ... ``worker-1``, ``gateway``. One that ends is started again on the same ports,
unless it is held down (`Cluster.hold`). All of them end when this process ends, however that comes.

All state is in the folder: ``plexus.toml`` (the services' settings), ``signing.key``, ``media``, a folder for
each program with state, ``logs``, and ``cluster.json``, which says what runs where (`deploy.local.state`).
"""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import IO, Self

from plexus.cli.data_folder import kept_name
from plexus.cli.db import show
from plexus.cli.moving import move_to_cluster
from plexus.platform.compose import role_settings
from plexus.platform.migrate import READER, WRITER, migrate
from plexus.platform.settings import load_settings
from plexus.platform.signing import create_signing_key

from deploy.local.haproxy import Haproxy, Mode
from deploy.local.installing import need
from deploy.local.kafka import KafkaBroker, jars
from deploy.local.pgbouncer import Pgbouncer
from deploy.local.ports import Ports, why_not
from deploy.local.postgres import PostgresServer
from deploy.local.program import Program, ProgramError
from deploy.local.redis import RedisServer
from deploy.local.routes import SERVICES
from deploy.local.service import ServiceProcess
from deploy.local.settings import Values, write_settings
from deploy.local.state import ProgramState, State, write_state
from deploy.local.supervisor import Supervisor, Watched

log = logging.getLogger(__name__)

REPLICAS: Mapping[str, int] = MappingProxyType(
    {"client-api": 2, "sync": 2, "keys": 1, "federation": 1, "media": 1, "worker": 1}
)
STATE_FILE = "cluster.json"

Step = Callable[[str], AbstractContextManager[None]]


@contextmanager
def _quietly(what: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    log.info("%s: %.1f s", what, time.monotonic() - began)


class Cluster:
    """``port`` 0 takes a free one. ``server_name``: of a new folder; else "localhost". ``replicas`` of each
    service; ``settings``: environment variables (``PLEXUS_...``) of all services. ``mode``: how the gateway
    chooses a replica. ``kafka`` or ``redis`` off: the services do without. ``step`` is entered with the name
    of what is being done. ``origin``: the folder of a stopped `plexus up`, which the first start moves here;
    a cluster that holds anything refuses.
    """

    def __init__(
        self,
        folder: Path,
        port: int = 0,
        *,
        server_name: str | None = None,
        replicas: Mapping[str, int] = REPLICAS,
        settings: Mapping[str, str] = MappingProxyType({}),
        mode: Mode = "hint",
        kafka: bool = True,
        redis: bool = True,
        step: Step = _quietly,
        origin: Path | None = None,
    ) -> None:
        self.folder = folder.absolute()
        self._origin = origin
        moved = None if origin is None else kept_name(origin)
        self.server_name = server_name or kept_name(self.folder) or moved or "localhost"
        self._step = step
        self._lock: IO[str] | None = None
        self._state_lock = threading.Lock()
        ports = Ports()
        self.port = port or ports.free()
        logs = self.folder / "logs"
        self.postgres = PostgresServer(self.folder / "postgres", ports.free(), logs / "postgres.log")
        self.pgbouncer = Pgbouncer(
            self.folder / "pgbouncer", ports.free(), self.postgres.port, logs / "pgbouncer.log"
        )
        self.services = [
            ServiceProcess(
                name := f"{service}-{number + 1}",
                service,
                config=self.config,
                log=logs / f"{name}.log",
                port=ports.free(),
                internal_port=ports.free(),
                calls_port=ports.free(),
                settings=settings,
            )
            for service, count in replicas.items()
            for number in range(count)
        ]
        self.gateway = Haproxy(
            self.folder / "gateway",
            self.port,
            ports.free(),
            {name: [process.replica for process in self.of(name)] for name in SERVICES},
            mode=mode,
            calls_port=ports.free(),
            log=logs / "gateway.log",
        )
        self._supervisor = Supervisor(self._write_state)
        self._below: list[Program] = [self.postgres, self.pgbouncer]
        self.kafka: KafkaBroker | None = None
        if kafka:
            self.kafka = KafkaBroker(self.folder / "kafka", port=ports.free(), log=logs / "kafka.log")
            self._below.append(self.kafka)
        self.redis: RedisServer | None = None
        if redis:
            self.redis = RedisServer(self.folder / "redis", port=ports.free())
            self.redis.log = logs / "redis.log"
            self._below.append(self.redis)
        for program in (*self._below, *self.services, self.gateway):
            self._supervisor.add(program)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def config(self) -> Path:
        """The settings file: ``PLEXUS_CONFIG`` of a command that works on the cluster."""
        return self.folder / "plexus.toml"

    @property
    def programs(self) -> list[Program]:
        """In the order in which they are started."""
        return [watched.program for watched in self._supervisor.all()]

    def __getitem__(self, name: str) -> Program:
        return self._supervisor[name].program

    def of(self, service: str) -> list[ServiceProcess]:
        """The replicas of a service."""
        return [process for process in self.services if process.service == service]

    def restarts(self, name: str) -> int:
        """How often it was started again after it had ended by itself."""
        return self._supervisor[name].restarts

    # --- from start to stop ---

    def start(self, patience: float = 120) -> float:
        """Start everything and wait until all is ready; the seconds that took. `ProgramError` if it fails;
        then nothing is left running.
        """
        began = time.monotonic()
        self._take_folder()
        try:
            if (trouble := why_not(self.port)) is not None:
                raise ProgramError(f"clients cannot be listened to at port {self.port}: {trouble}")
            with self._step("looking for PostgreSQL, pgbouncer, HAProxy, Kafka, Redis"):
                need("pg_ctl", "pgbouncer", "haproxy", *(["redis-server"] if self.redis else []))
                if self.kafka is not None:
                    jars()
            self._write_settings()
            with self._step(f"starting {_listed((*self._below, self.gateway))}"):
                for program in (*self._below, self.gateway):
                    if program is not self.postgres:
                        # Nobody waits for these here: they start beside the migrations.
                        self._supervisor.launch(program.name)
                self._begin(self.postgres)
            if self._origin is not None:
                # Nothing of the cluster looks at the database yet.
                move_to_cluster(self._origin, self.config, replace=False, report=show)
            with self._step("bringing the tables up to date"):
                self._migrate()
            with self._step(f"starting {_listed(self.services)}"):
                for process in self.services:
                    self._supervisor.launch(process.name)
                for program in self.programs:
                    program.wait_ready(patience)
                self.gateway.wait_all_up(patience)
            self._supervisor.start()
        except BaseException:
            self.stop()
            raise
        return time.monotonic() - began

    def stop(self) -> None:
        """Stop everything, in reverse order. What the services have begun they finish."""
        self._supervisor.stop()
        for program in self.programs:
            self._supervisor.release(program.name)
        _together([process.stop for process in self.services])
        for program in (self.gateway, *reversed(self._below)):
            program.stop()
        if self._lock is not None:
            (self.folder / STATE_FILE).unlink(missing_ok=True)
            self._lock.close()
            self._lock = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # --- for those who break things ---

    def wait_ready(self, name: str | None = None, patience: float = 60) -> float:
        """Wait until this program (or all) is ready, and the gateway knows; the seconds that took."""
        began = time.monotonic()
        programs = self.programs if name is None else [self[name]]
        for program in programs:
            while not (program.running and program.is_ready()):
                if time.monotonic() > began + patience:
                    raise ProgramError(f"{program.name} is not ready after {patience:g} s:\n{program.tail()}")
                time.sleep(0.05)
        ours = {program.name for program in programs if isinstance(program, ServiceProcess)}
        self.gateway.wait_all_up(began + patience - time.monotonic(), ours or None)
        return time.monotonic() - began

    def hold(self, name: str, *, kill: bool = False) -> None:
        """Stop it (or kill it) and keep it down until `release`."""
        self._supervisor.release(name)
        if kill:
            self[name].kill()
        else:
            self[name].stop()

    def release(self, name: str) -> None:
        """Start what was held down."""
        self._supervisor.launch(name)

    def restart(self, name: str, patience: float = 60) -> float:
        """Stop it by SIGTERM, start it again, wait until it is ready; the seconds that took."""
        began = time.monotonic()
        self.hold(name)
        self.release(name)
        self.wait_ready(name, patience)
        return time.monotonic() - began

    # --- steps of the start ---

    def _begin(self, program: Program) -> None:
        self._supervisor.launch(program.name)
        program.wait_ready()

    def _take_folder(self) -> None:
        # Others may pass through but not look: PostgreSQL runs as a user of its own when we are root.
        self.folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        (self.folder / "logs").mkdir(exist_ok=True)
        lock = (self.folder / "cluster.lock").open("a")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise ProgramError(f"{self.folder} is in use by another cluster: stop it first") from None
        self._lock = lock

    def _write_settings(self) -> None:
        kept = kept_name(self.folder)
        if kept not in (None, self.server_name):
            raise ProgramError(
                f"{self.folder} is the server {kept!r} and cannot become {self.server_name!r}: the name is "
                "part of all its users, rooms and events"
            )
        if kept is None and (self.folder / "postgres" / "lock").exists():
            raise ProgramError(f"{self.folder} is the folder of a `plexus up`: take another")
        if self._origin is None:  # else the server has one, which comes with it
            create_signing_key(self.folder / "signing.key")
        sections: dict[str, Values] = {
            "": {"server_name": self.server_name, "data_dir": str(self.folder)},
            "http": {"public_base_url": self.base_url, "trusted_proxies": ["127.0.0.1/32"]},
            "database": {
                "dsn": self.pgbouncer.dsn(WRITER),
                "reader_dsn": self.pgbouncer.dsn(READER),
                "owner_dsn": self.postgres.dsn(),
                "prepared_statements": False,
            },
            "calls": {
                "secret": secrets.token_urlsafe(32),
                "addresses": {
                    # One address, whatever replicas there are and live.
                    name: f"http://127.0.0.1:{self.gateway.calls_port}"
                    for name in SERVICES
                    if self.of(name)
                },
            },
            "kafka": {"bootstrap_servers": [self.kafka.address]} if self.kafka else {},
            "redis": {"url": self.redis.url} if self.redis else {},
            # The gateway asks every two seconds, and once more before it believes a no.
            "shutdown": {"readiness_seconds": 3.0},
        }
        write_settings(self.config, sections)

    def _migrate(self) -> None:
        """What `plexus db migrate` does, without the time to start it."""
        settings = load_settings(self.config)
        migrate(self.postgres.dsn(), role_settings=role_settings(settings.database))

    def _write_state(self) -> None:
        with self._state_lock:
            if self._lock is None:
                return
            write_state(
                self.folder / STATE_FILE,
                State(
                    launcher=os.getpid(),
                    base_url=self.base_url,
                    server_name=self.server_name,
                    config=str(self.config),
                    owner_dsn=self.postgres.dsn(),
                    programs=[
                        _state_of(watched)
                        for watched in self._supervisor.all()
                        if watched.program.process is not None
                    ],
                ),
            )


def _state_of(watched: Watched) -> ProgramState:
    program = watched.program
    ports = {"main": program.port}
    service = None
    if isinstance(program, ServiceProcess):
        service = program.service
        ports |= {"internal": program.internal_port, "calls": program.calls_port}
    elif isinstance(program, Haproxy):
        ports["internal"] = program.metrics_port
        if program.calls_port is not None:
            ports["calls"] = program.calls_port
    return ProgramState(
        name=program.name,
        service=service,
        pid=program.pid,
        ports=ports,
        log=str(program.log),
        since=watched.since,
        restarts=watched.restarts,
    )


def _listed(programs: Sequence[Program]) -> str:
    return ", ".join(program.name for program in programs)


def _together(works: Sequence[Callable[[], object]]) -> None:
    """Do these side by side; the first that fails is raised when all have ended."""
    with ThreadPoolExecutor(max(1, len(works))) as threads:
        for done in [threads.submit(work) for work in works]:
            done.result()
