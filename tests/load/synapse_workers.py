"""Synapse as several processes: main, sync worker, event persister, client worker; Redis; nginx in front.

What its documentation calls workers, at the smallest size that takes the hot path off the main process. The
persister is the one writer of the streams events, to_device, typing, receipts, account_data and presence, and
gets their endpoints; the sync worker gets what waits for news; the client worker gets every other endpoint
that a generic worker may answer; the rest goes to main. nginx keeps its connections to them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import yaml

from deploy.local.installing import need
from deploy.local.program import Program, free_port, listens
from deploy.local.redis import RedisServer
from tests.load.postgres_twin import PostgresRecipe, create_database
from tests.load.synapse import Peer, database
from tests.support.synapse import SynapseProcess, configuration, install, listener, written

PERSISTER = "persister1"
WORKERS = ("sync1", PERSISTER, "client1")
STREAMS = ("events", "to_device", "typing", "receipts", "account_data", "presence")

_CLIENT = "^/_matrix/client/(api/v1|r0|v1|v3|unstable)"
ROUTES: dict[str, Sequence[str]] = {
    "sync1": (
        rf"{_CLIENT}/(sync|events|initialSync)$",
        rf"{_CLIENT}/rooms/[^/]+/initialSync$",
    ),
    PERSISTER: (
        rf"{_CLIENT}/rooms/[^/]+/(typing|receipt|read_markers)(/|$)",
        rf"{_CLIENT}/sendToDevice/",
        rf"{_CLIENT}/presence/",
        rf"{_CLIENT}/user/[^/]+/(rooms/[^/]+/)?(tags|account_data)(/|$)",
    ),
    "client1": (
        rf"{_CLIENT}/rooms/[^/]+/(send|redact|state|event|context|relations|aliases)(/|$)",
        rf"{_CLIENT}/rooms/[^/]+/(joined_members|members|messages|hierarchy|threads|timestamp_to_event)$",
        rf"{_CLIENT}/rooms/[^/]+/(join|invite|leave|ban|unban|kick)$",
        rf"{_CLIENT}/(join|knock|profile|room_keys|directory/room)/",
        rf"{_CLIENT}/(createRoom|publicRooms|joined_rooms|search|capabilities|notifications)$",
        rf"{_CLIENT}/(login|register|register/available|password_policy|account/whoami|voip/turnServer)$",
        rf"{_CLIENT}/user/[^/]+/filter(/|$)",
        rf"{_CLIENT}/keys/(query|changes|claim)$",
        rf"{_CLIENT}/user_directory/search$",
        r"^/_matrix/client/versions$",
    ),
}
"""Who answers which path, if not main; after the list in Synapse's documentation of workers."""


class Nginx(Program):
    """One process that serves, below a master; requests go by `ROUTES`."""

    def __init__(self, folder: Path, ports: Mapping[str, int]) -> None:
        super().__init__("nginx", folder / "nginx.log")
        self.folder = folder
        self.port = free_port()
        self._ports = ports
        self._binary = need("nginx")["nginx"]

    def command(self) -> Sequence[str]:
        return [str(self._binary), "-c", str(self.folder / "nginx.conf"), "-p", str(self.folder)]

    def prepare(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "nginx.conf").write_text(self._configuration())

    def is_ready(self) -> bool:
        return listens(self.port)

    def _configuration(self) -> str:
        upstreams = "\n".join(
            f"  upstream {name} {{ server 127.0.0.1:{port}; keepalive 1024; }}"
            for name, port in self._ports.items()
        )
        locations = "\n".join(
            f'    location ~ "{pattern}" {{ proxy_pass http://{name}; }}'
            for name, patterns in ROUTES.items()
            for pattern in patterns
        )
        temporary = "\n".join(
            f"  {kind}_temp_path {self.folder}/{kind};"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        return f"""
daemon off;
worker_processes 1;
pid {self.folder}/nginx.pid;
error_log stderr error;
events {{ worker_connections 16384; }}
http {{
  access_log off;
{temporary}
{upstreams}
  keepalive_timeout 600s;
  keepalive_requests 1000000;
  server {{
    listen 127.0.0.1:{self.port} backlog=4096;
    client_max_body_size 50M;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_read_timeout 600s;
{locations}
    location / {{ proxy_pass http://main; }}
  }}
}}
"""


def shared_configuration(
    folder: Path, sockets: Path, ports: Mapping[str, int], replication: Mapping[str, int], redis: int
) -> dict[str, Any]:
    return {
        **configuration(
            folder,
            [listener(ports["main"], "client", proxied=True), listener(replication["main"], "replication")],
            database(sockets),
        ),
        "worker_replication_secret": "between-these-processes",
        "redis": {"enabled": True, "host": "127.0.0.1", "port": redis},
        "instance_map": {name: {"host": "127.0.0.1", "port": port} for name, port in replication.items()},
        "stream_writers": dict.fromkeys(STREAMS, PERSISTER),
    }


def worker_configuration(
    folder: Path, name: str, ports: Mapping[str, int], replication: Mapping[str, int]
) -> dict[str, Any]:
    listeners = [listener(ports[name], "client", proxied=True)]
    if name in replication:
        listeners.append(listener(replication[name], "replication"))
    return {
        "worker_app": "synapse.app.generic_worker",
        "worker_name": name,
        "worker_listeners": listeners,
        "worker_log_config": str(folder / "log.yaml"),
    }


@contextmanager
def running(recipe: PostgresRecipe, folder: Path) -> Iterator[Peer]:
    """A fresh Synapse with workers; rate limits and presence off, cheap password hashes."""
    python = install()
    with ExitStack() as stack:
        postgres = stack.enter_context(recipe.twin(folder / "postgres"))
        create_database(postgres.sockets, "synapse")
        redis = stack.enter_context(RedisServer(folder / "redis"))
        ports = {name: free_port() for name in ("main", *WORKERS)}
        replication = {name: free_port() for name in ("main", PERSISTER)}
        settings = shared_configuration(folder, postgres.sockets, ports, replication, redis.port)
        shared = written(settings, folder / "shared.yaml")
        processes = [SynapseProcess(python, [shared], ports["main"], folder / "main.log")]
        stack.callback(processes[0].stop)
        processes[0].start(180)  # it makes the tables, so it comes first
        for name in WORKERS:
            own = folder / f"{name}.yaml"
            own.write_text(yaml.safe_dump(worker_configuration(folder, name, ports, replication)))
            files = [shared, own]
            processes.append(
                SynapseProcess(python, files, ports[name], folder / f"{name}.log", app="generic_worker")
            )
            stack.callback(processes[-1].stop)
            processes[-1].launch()
        for process in processes[1:]:
            process.wait_ready(180)
        nginx = stack.enter_context(Nginx(folder / "nginx", ports))
        yield Peer(
            f"http://127.0.0.1:{nginx.port}",
            {
                "services": [process.pid for process in processes],
                "postgres": [postgres.pid],
                "redis": [redis.pid],
                "gateway": [nginx.pid],
            },
        )
