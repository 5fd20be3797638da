"""Whether Plexus can listen where it is told to, and who does if it cannot."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Iterator

from plexus.platform.doctor.findings import Finding, failure, ok
from plexus.platform.settings import Settings

_PATIENCE = 3.0
_MOST = 1 << 20

# What only Plexus answers, by listener.
_QUESTIONS = {
    "client": ("/_matrix/federation/v1/version", b'"Plexus"'),
    "federation": ("/_matrix/federation/v1/version", b'"Plexus"'),
    "internal": ("/metrics", b"plexus_"),
}


async def ports(settings: Settings, *, runs: bool | None) -> list[Finding]:
    """``runs``: whether the server of this data folder runs now; None if nobody can tell (a cluster)."""
    return [
        await _look(name, address, port, runs) for name, address, port in _listeners(settings) if port != 0
    ]


def _listeners(settings: Settings) -> Iterator[tuple[str, str, int]]:
    for name in _QUESTIONS:
        listener = getattr(settings.listeners, name)
        # A process of a cluster may be told its own by the environment: only what is named here is known.
        if listener.enabled and (settings.embedded or "port" in listener.model_fields_set):
            for address in listener.addresses:
                yield name, address, listener.port


async def _look(name: str, address: str, port: int, runs: bool | None) -> Finding:
    where = f"{address} port {port}"
    setting = f"listeners.{name}"
    problem = _try_to_listen(address, port)
    if problem is None:
        return ok("ports", f"{where} is free for the {name} listener")
    if problem.errno == errno.EADDRNOTAVAIL:
        return failure("ports", f"{address} is not an address of this machine", f"change {setting}.addresses")
    if problem.errno in (errno.EACCES, errno.EPERM):
        return failure(
            "ports", f"{where} may not be listened on by this user", f"take a {setting}.port above 1023"
        )
    if problem.errno != errno.EADDRINUSE:
        return failure("ports", f"{where} cannot be listened on: {problem.strerror}", f"change {setting}")
    if not await _is_plexus(name, address, port):
        return failure(
            "ports", f"{where} is taken by another program", f"stop that program, or change {setting}.port"
        )
    if runs is False:
        return failure(
            "ports",
            f"{where} is taken by another Plexus, not the one of this data folder",
            f"stop that one, or change {setting}.port",
        )
    return ok("ports", f"Plexus listens on {where}")


def _try_to_listen(address: str, port: int) -> OSError | None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind((address, port))
            listener.listen(1)  # only this fails on a port that another socket of the same option holds
    except OSError as error:
        return error
    return None


async def _is_plexus(name: str, address: str, port: int) -> bool:
    path, sign = _QUESTIONS[name]
    context = None
    if name == "federation":
        # Whoever it is; nothing is told to it.
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)
    try:
        async with asyncio.timeout(_PATIENCE):
            reader, writer = await asyncio.open_connection(reachable, port, ssl=context)
            try:
                host = f"[{reachable}]" if ":" in reachable else reachable
                writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
                await writer.drain()
                return sign in await _read_all(reader)
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False


async def _read_all(reader: asyncio.StreamReader) -> bytes:
    answer = b""
    while len(answer) < _MOST and (chunk := await reader.read(65_536)):
        answer += chunk
    return answer
