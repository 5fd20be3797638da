"""What a cluster has besides PostgreSQL and Kafka: Redis, the calls between services."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import ssl
import time
from typing import Any
from urllib.parse import urlsplit

from plexus.platform.clock import Clock
from plexus.platform.doctor.findings import Finding, failure, ok, warning
from plexus.platform.settings import Settings
from plexus.platform.settings.cluster import CallsSettings
from redis.asyncio import Redis
from redis.exceptions import RedisError

OLDEST_REDIS = 6
_PATIENCE = 5.0
_SLOW_MS = 5.0
_SKEW = 1.0  # seconds
_CLOCKS = "keep both right with NTP: marks and limits expire by Redis's clock"


async def redis(settings: Settings, clock: Clock) -> list[Finding]:
    """Reachable, its version, what it throws away when it is full, how fast it answers, its clock."""
    url = settings.redis.url
    if settings.embedded:
        return []
    if url is None:
        return [
            warning(
                "redis",
                "there is none: each process counts rate limits for itself, and typing and presence stay in "
                "it",
                "set redis.url, unless one process has all services",
            )
        ]
    do = "see that it runs, and that redis.url has the right address and password"
    try:
        client = Redis.from_url(
            url.get_secret_value(), socket_timeout=_PATIENCE, socket_connect_timeout=_PATIENCE
        )
    except ValueError as error:
        return [failure("redis", f"redis.url cannot be used: {error}", "correct it: docs/settings.md")]
    try:
        return await _look_at_redis(client, settings, clock)
    except (RedisError, OSError) as error:
        return [failure("redis", f"Redis cannot be reached: {error}", do)]
    finally:
        await client.aclose()


async def _look_at_redis(client: Redis, settings: Settings, clock: Clock) -> list[Finding]:
    server: dict[str, Any] = await client.info("server")
    memory: dict[str, Any] = await client.info("memory")
    found = [_judge_version(str(server["redis_version"]))]
    policy = str(memory["maxmemory_policy"])
    if policy == "noeviction":
        found.append(ok("redis", "a full Redis says so, and forgets nothing in silence"))
    else:
        found.append(
            warning(
                "redis",
                f"a full Redis forgets in silence (maxmemory-policy {policy}): somebody may for a moment not "
                "see what they wrote",
                "set maxmemory-policy to noeviction: all that Plexus keeps there expires",
            )
        )
    key = f"{settings.redis.prefix}doctor-{secrets.token_hex(4)}"
    await client.set(key, b"plexus", px=10_000)
    await client.delete(key)
    took = min([await _ping(client) for _ in range(5)])
    if took > _SLOW_MS:
        found.append(
            warning(
                "redis",
                f"Redis answers after {took:.0f} ms",
                "let it run near the services, not beside a busy program",
            )
        )
    else:
        found.append(ok("redis", f"Redis can be written to and answers within {took:.1f} ms"))
    before = clock.now_ms()
    seconds, micros = await client.time()
    apart = abs(seconds + micros / 1e6 - (before + clock.now_ms()) / 2000)
    if apart > _SKEW:
        says = f"the clocks of this machine and of Redis are {apart:.0f} seconds apart"
        found.append(warning("clock", says, _CLOCKS))
    return found


def _judge_version(version: str) -> Finding:
    if int(version.split(".")[0]) < OLDEST_REDIS:
        says = f"this is Redis {version}, and Plexus needs {OLDEST_REDIS} or newer"
        return warning("redis", says, f"take Redis {OLDEST_REDIS} or a newer one, or Valkey")
    return ok("redis", f"this is Redis {version}")


async def _ping(client: Redis) -> float:
    began = time.perf_counter()
    await client.ping()
    return (time.perf_counter() - began) * 1000


async def calls(settings: Settings) -> list[Finding]:
    """The calls between services: who may make them, and whether somebody is where they go."""
    given = settings.calls
    if settings.embedded or not (given.addresses or given.listener.enabled):
        return []
    if given.certificate is None:
        found = [ok("calls", "services prove themselves by a shared secret")]
    elif (trouble := _certificate_trouble(given)) is None:
        found = [ok("calls", "services prove themselves by certificates")]
    else:
        says = f"the certificate of the calls between services cannot be used: {trouble}"
        do = "put a certificate, its key and its authority, in PEM, where the settings of calls say"
        found = [failure("calls", says, do)]
    for name, address in sorted(given.addresses.items()):
        if (away := await _connect_trouble(address)) is None:
            found.append(ok("calls", f"{name} listens at {address}"))
        else:
            says = f"{name} does not listen at {address}: {away}"
            do = f"start it, if it does not run; else correct calls.addresses.{name}, or its calls.listener"
            found.append(warning("calls", says, do))
    return found


def _certificate_trouble(given: CallsSettings) -> str | None:
    assert given.certificate is not None, "asked for one only"
    try:
        context = ssl.create_default_context(cafile=given.ca_file)
        context.load_cert_chain(given.certificate, given.private_key)
    except (OSError, ssl.SSLError) as error:
        return str(error)
    return None


async def _connect_trouble(address: str) -> str | None:
    parts = urlsplit(address)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        async with asyncio.timeout(_PATIENCE):
            _, writer = await asyncio.open_connection(parts.hostname, port)
    except TimeoutError:
        return f"no connection within {_PATIENCE:g} s"
    except socket.gaierror as error:
        return error.strerror or str(error)
    except OSError as error:
        return os.strerror(error.errno) if error.errno else str(error)
    writer.close()
    return None
