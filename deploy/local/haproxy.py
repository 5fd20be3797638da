"""HAProxy in front of the services: which service by the routing table, which replica by room or user.

A replica is asked for its readiness every two seconds. One that says no (it is leaving, or has no database)
gets no new request and keeps what it has; one that does not answer at all (killed, frozen) loses its
connections too, so that clients ask again elsewhere.

On another port, for the services alone, calls from one to another (``calls.addresses``) find a replica too.
"""

from __future__ import annotations

import csv
import io
import resource
import signal
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from deploy.local.asking import ask
from deploy.local.installing import need
from deploy.local.program import Program, ProgramError
from deploy.local.routes import lookups, read_table

Mode = Literal["hint", "random"]
"""How a replica is chosen: by room or user, or by chance for each request."""


@dataclass(frozen=True, slots=True)
class Replica:
    """A process of a service, on the loopback."""

    name: str
    port: int
    internal_port: int
    calls_port: int


CONFIG = """\
global
    maxconn {connections}
    nbthread 1
    # A request that fits can be sent again to another replica; so can a head of the longest that we take.
    tune.bufsize 65536
    tune.maxrewrite 4096
    log stdout format raw local0 notice

defaults
    mode http
    log global
    option dontlognull
    option forwardfor
    timeout connect 2s
    timeout client 200s
    timeout server 200s
    timeout http-request 15s
    timeout http-keep-alive 60s
    timeout queue 5s
    timeout check 1s
    option redispatch 1
    # Nobody waits for the answer of a client that has gone: else a poll would be held for it to the end.
    option abortonclose
    retries 3
    # Also what the replica took and did not answer; the frontend forbids it where it would not be safe.
    retry-on conn-failure empty-response
    http-reuse safe
    option httpchk
    http-check send meth GET uri /health/ready
    # "No" is not "dead": the former gets no new requests, the latter is cut off.
    http-check expect error-status L7OKC status 200
    default-server check inter 2s fastinter 250ms fall 2 rise 1 on-marked-down shutdown-sessions
{errors}

frontend clients
    bind 127.0.0.1:{port}
    http-request set-header X-Forwarded-Proto http unless {{ req.hdr(X-Forwarded-Proto) -m found }}
    # The path as the services read it: percent-decoded once.
    http-request set-var(txn.path) path,url_dec
    http-request set-var(txn.service) str({default})
    http-request set-var(txn.service) var(txn.path),map_beg({folder}/beginnings.map,{default})
    acl exact var(txn.path),map_str({folder}/exact.map) -m found
    http-request set-var(txn.service) var(txn.path),map_str({folder}/exact.map) if exact
    acl pattern var(txn.path),map_reg({folder}/patterns.map) -m found
    http-request set-var(txn.service) var(txn.path),map_reg({folder}/patterns.map) if pattern
    # Whose it is: nobody's, a user's (an access token names the user's lane), a room's.
    http-request set-var(txn.key) src
    acl bearer req.hdr(Authorization) -m beg -i "bearer plx_"
    http-request set-var(txn.key) req.hdr(Authorization),word(2,_) if bearer
    acl in_query url_param(access_token) -m beg plx_
    http-request set-var(txn.key) url_param(access_token),word(2,_) if in_query
    acl room path_reg ^/_matrix/client/[^/]+/rooms/
    http-request set-var(txn.key) path,field(6,/),url_dec if room
    # Sending one of these again does what sending it once does.
    http-request disable-l7-retry unless {{ method GET HEAD OPTIONS PUT }}
    use_backend %[var(txn.service)]

{backends}

{calls}

frontend metrics
    bind 127.0.0.1:{metrics_port}
    http-request use-service prometheus-exporter if {{ path /metrics }}
    stats enable
    stats uri /stats
"""

CALLS = """\
frontend calls
    bind 127.0.0.1:{port}
    # /SERVICE/METHOD. Who calls knows what may be sent twice, and tries again.
    http-request disable-l7-retry
    use_backend calls-%[path,field(2,/)]"""

_REASONS = {
    408: "The request took too long to arrive",
    502: "The server did not answer, try again",
    503: "The server cannot answer now, try again",
    504: "The server took too long to answer",
}


class Haproxy(Program):
    """``replicas`` by service; ``port`` is where clients connect, ``calls_port`` where services call."""

    stop_signal = signal.SIGTERM

    def __init__(
        self,
        folder: Path,
        port: int,
        metrics_port: int,
        replicas: Mapping[str, Sequence[Replica]],
        *,
        mode: Mode = "hint",
        calls_port: int | None = None,
        log: Path | None = None,
    ) -> None:
        super().__init__("gateway", log or folder / "log")
        self.folder = folder.absolute()
        self.port = port
        self.metrics_port = metrics_port
        self.replicas = replicas
        self.mode = mode
        self.calls_port = calls_port

    def prepare(self) -> None:
        self._program = need("haproxy")["haproxy"]
        self.folder.mkdir(parents=True, exist_ok=True)
        table = read_table()
        found = lookups(table)
        for name, values in (
            ("exact", found.exact),
            ("beginnings", found.beginnings),
            ("patterns", found.patterns),
        ):
            lines = [f"{key} {service}\n" for key, service in values.items()]
            (self.folder / f"{name}.map").write_text("".join(lines), encoding="utf-8")
        (self.folder / "haproxy.cfg").write_text(self.config(table.default), encoding="utf-8")

    def config(self, default: str) -> str:
        return CONFIG.format(
            port=self.port,
            connections=_most_connections(),
            metrics_port=self.metrics_port,
            folder=self.folder,
            default=default,
            errors="\n".join(_error(status, reason) for status, reason in _REASONS.items()),
            backends="\n\n".join(_backend(name, of, self.mode) for name, of in self.replicas.items()),
            calls="" if self.calls_port is None else _calls(self.calls_port, self.replicas),
        )

    def command(self) -> Sequence[str]:
        return [str(self._program), "-db", "-f", str(self.folder / "haproxy.cfg")]

    def is_ready(self) -> bool:
        return ask(self.metrics_port, "/stats;csv") is not None

    def servers(self) -> dict[str, str]:
        """How it sees each replica: ``UP``, ``NOLB`` (no new request for it), ``DOWN``, or on the way."""
        found = servers(self.metrics_port)
        if found is None:
            raise ProgramError(f"the gateway does not answer:\n{self.tail()}")
        names = {replica.name for replicas in self.replicas.values() for replica in replicas}
        return {name: status for name, status in found.items() if name in names}

    def wait_all_up(self, patience: float = 60, names: Collection[str] | None = None) -> None:
        """Until these replicas (or all) get requests; `ProgramError` if that takes longer."""
        deadline = time.monotonic() + patience
        while True:
            seen = self.servers()
            if all(status == "UP" for name, status in seen.items() if names is None or name in names):
                return
            if time.monotonic() > deadline:
                raise ProgramError(f"the gateway does not see all replicas: {seen}")
            time.sleep(0.05)


def servers(metrics_port: int) -> dict[str, str] | None:
    """What the HAProxy with this port says of each server, as `Haproxy.servers`; None if it is away."""
    answer = ask(metrics_port, "/stats;csv")
    if answer is None:
        return None
    rows = csv.DictReader(io.StringIO(answer[1].removeprefix("# ")))
    # Before the first check every replica counts as up.
    return {row["svname"]: row["status"] if row["check_status"] else "unknown" for row in rows}


def _most_connections() -> int:
    """Each takes two files; HAProxy refuses to start with more than it may open."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 20_000 if hard == resource.RLIM_INFINITY else min(20_000, (hard - 500) // 2)


def _backend(name: str, replicas: Sequence[Replica], mode: Mode) -> str:
    how = {
        "random": ["balance random"],
        "hint": ["balance hash var(txn.key)", "hash-type consistent sdbm avalanche"],
    }
    lines = [f"backend {name}", *(f"    {line}" for line in how[mode])]
    lines += [
        f"    server {replica.name} 127.0.0.1:{replica.port} port {replica.internal_port}"
        for replica in replicas
    ]
    return "\n".join(lines)


def _calls(port: int, replicas: Mapping[str, Sequence[Replica]]) -> str:
    blocks = [CALLS.format(port=port)]
    for name, of in replicas.items():
        lines = [f"backend calls-{name}", "    balance leastconn"]
        # As ready as the same process is for clients, and not asked twice.
        lines += [
            f"    server calls-{replica.name} 127.0.0.1:{replica.calls_port}"
            f" no-check track {name}/{replica.name}"
            for replica in of
        ]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def _error(status: int, reason: str) -> str:
    """A standard error response, which a browser's script may read."""
    body = f'{{"errcode":"M_UNKNOWN","error":"{reason}"}}'
    retry = " hdr Retry-After 1" if status == 503 else ""
    return (
        f"    http-error status {status} content-type application/json string '{body}'"
        f" hdr Access-Control-Allow-Origin *{retry}"
    )
