"""The few calls to the API server. The client blocks, so each is made on a thread, with a time limit."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.config.config_exception import ConfigException
from kubernetes.watch import Watch
from plexus.platform.settings import LeadershipSettings, SettingsError
from plexus.protocol.errors import Unavailable
from urllib3.exceptions import HTTPError

logger = logging.getLogger(__name__)

T = TypeVar("T")

_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,198}[a-z0-9])?")
_LABEL = "app.kubernetes.io/managed-by"
_TTL = "plexus/ttl-ms"
_CONNECT_SECONDS = 2.0
_READ_SECONDS = 5.0
_WATCH_SECONDS = 240


class Conflict(Exception):  # noqa: N818 - an outcome: somebody else was first
    """The Lease is not what we took it for: read it again."""


class Gone(Exception):  # noqa: N818 - an outcome: the watch is too far behind
    """What was seen last is too old to go on from: list again."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A Lease as the API server gave it. ``holder`` is empty for one that was given back; ``version`` changes
    with every write.
    """

    name: str
    version: str
    holder: str
    transitions: int
    ttl_ms: int


class LeaseApi:
    """In one namespace; names of Leases begin with ``prefix``, so that deployments may share it.

    Raises `Unavailable` when the API server cannot be reached or refuses; why stands in the log.
    """

    def __init__(self, api: client.ApiClient, namespace: str, prefix: str) -> None:
        self._leases = client.CoordinationV1Api(api)
        self._namespace = namespace
        self._prefix = prefix

    async def read(self, name: str) -> Seen | None:
        full = self._full(name)
        try:
            found = await self._ask(
                lambda: self._leases.read_namespaced_lease(
                    full, self._namespace, _request_timeout=(_CONNECT_SECONDS, _READ_SECONDS)
                )
            )
        except _NotFoundError:
            return None
        return self._seen(found)

    async def create(self, name: str, holder: str, *, ttl_ms: int, transitions: int) -> Seen:
        """`Conflict` if there is one by now."""
        body = self._body(Seen(name, "", holder, transitions, ttl_ms), taken=True)
        return self._seen(
            await self._ask(
                lambda: self._leases.create_namespaced_lease(
                    self._namespace, body, _request_timeout=(_CONNECT_SECONDS, _READ_SECONDS)
                )
            )
        )

    async def replace(self, seen: Seen, holder: str, *, ttl_ms: int, transitions: int | None = None) -> Seen:
        """Write over exactly what was seen; `Conflict` if somebody has written since. With ``transitions`` it
        changes hands.
        """
        taken = transitions is not None
        after = replace(
            seen,
            holder=holder,
            ttl_ms=ttl_ms,
            transitions=seen.transitions if transitions is None else transitions,
        )
        body = self._body(after, taken=taken)
        try:
            return self._seen(
                await self._ask(
                    lambda: self._leases.replace_namespaced_lease(
                        self._full(seen.name),
                        self._namespace,
                        body,
                        _request_timeout=(_CONNECT_SECONDS, _READ_SECONDS),
                    )
                )
            )
        except _NotFoundError:
            raise Conflict from None

    def list(self) -> tuple[list[Seen], str]:
        """All of ours and the version to watch from. Blocks."""
        found = _asked(
            lambda: self._leases.list_namespaced_lease(
                self._namespace,
                label_selector=f"{_LABEL}=plexus",
                _request_timeout=(_CONNECT_SECONDS, _READ_SECONDS),
            )
        )
        seen = [self._seen(item) for item in found.items if self._is_ours(item)]
        version = found.metadata.resource_version if found.metadata is not None else None
        if version is None:
            raise Unavailable("The API server of Kubernetes lists without a version")
        return seen, version

    def watch(self, version: str) -> Iterator[tuple[Seen, bool, str]]:
        """What changes after ``version``, until the server ends it: (Lease, deleted, version). Blocks. `Gone`
        if that is too long ago.
        """
        watch = Watch()  # type: ignore[no-untyped-call]  # its module has no annotations
        try:
            for event in watch.stream(  # type: ignore[no-untyped-call]  # as above
                self._leases.list_namespaced_lease,
                self._namespace,
                label_selector=f"{_LABEL}=plexus",
                resource_version=version,
                timeout_seconds=_WATCH_SECONDS,
                _request_timeout=(_CONNECT_SECONDS, _WATCH_SECONDS + _READ_SECONDS),
            ):
                item = event["object"]
                if self._is_ours(item):
                    yield self._seen(item), event["type"] == "DELETED", item.metadata.resource_version
        except ApiException as error:
            if error.status == 410:
                raise Gone from None
            raise _refused(error) from None
        except HTTPError as error:
            raise _unreachable(error) from None

    async def _ask(self, call: Callable[[], T]) -> T:
        return await asyncio.to_thread(_asked, call)

    def _full(self, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a Lease")
        return self._prefix + name

    def _body(self, lease: Seen, *, taken: bool) -> client.V1Lease:
        now = dt.datetime.now(dt.UTC)
        if now.microsecond == 0:
            # The API takes times with a fraction only, and isoformat leaves out one of zero.
            now = now.replace(microsecond=1)
        spec = client.V1LeaseSpec(
            holder_identity=lease.holder,
            lease_duration_seconds=max(1, -(-lease.ttl_ms // 1000)),
            lease_transitions=lease.transitions,
            renew_time=now,
        )
        if taken:
            spec.acquire_time = now
        metadata = client.V1ObjectMeta(
            name=self._full(lease.name), labels={_LABEL: "plexus"}, annotations={_TTL: str(lease.ttl_ms)}
        )
        if lease.version:
            metadata.resource_version = lease.version
        return client.V1Lease(
            api_version="coordination.k8s.io/v1", kind="Lease", metadata=metadata, spec=spec
        )

    def _is_ours(self, lease: client.V1Lease) -> bool:
        return lease.metadata is not None and str(lease.metadata.name).startswith(self._prefix)

    def _seen(self, lease: client.V1Lease) -> Seen:
        spec, metadata = lease.spec or client.V1LeaseSpec(), lease.metadata or client.V1ObjectMeta()
        exact = (metadata.annotations or {}).get(_TTL, "")
        seconds = spec.lease_duration_seconds or 1
        return Seen(
            name=str(metadata.name).removeprefix(self._prefix),
            version=str(metadata.resource_version),
            holder=spec.holder_identity or "",
            transitions=spec.lease_transitions or 0,
            ttl_ms=int(exact) if exact.isascii() and exact.isdigit() else seconds * 1000,
        )


class _NotFoundError(Exception):
    pass


def _asked(call: Callable[[], T]) -> T:
    try:
        return call()
    except ApiException as error:
        if error.status == 404:
            raise _NotFoundError from None
        if error.status == 409:
            raise Conflict from None
        raise _refused(error) from None
    except HTTPError as error:
        raise _unreachable(error) from None


def _refused(error: ApiException) -> Unavailable:
    logger.error(
        "The API server of Kubernetes refused a call on Leases: %s %s%s",
        error.status,
        error.reason,
        "; the role needs get, list, watch, create and update on leases" if error.status == 403 else "",
    )
    return Unavailable("Leadership cannot be settled now")


def _unreachable(error: HTTPError) -> Unavailable:
    logger.error("The API server of Kubernetes cannot be reached: %s", error)
    return Unavailable("Leadership cannot be settled now")


def connect(settings: LeadershipSettings) -> LeaseApi:
    """As the pod's service account, or by the kubeconfig of the settings. `SettingsError` if there is
    neither. Reads files, so it blocks for a moment.
    """
    configuration = client.Configuration()
    # Our own loops try again, and know when not to.
    configuration.retries = False
    try:
        if settings.kubeconfig is not None:
            config.load_kube_config(  # type: ignore[no-untyped-call]  # its module has no annotations
                str(settings.kubeconfig), client_configuration=configuration
            )
        else:
            config.load_incluster_config(  # type: ignore[no-untyped-call]  # as above
                client_configuration=configuration
            )
    except (ConfigException, OSError) as error:
        what = "leadership.kubeconfig" if settings.kubeconfig is not None else "leadership.kind"
        raise SettingsError([f"{what}: no way to the API server of Kubernetes: {error}"]) from None
    namespace = settings.namespace
    if namespace is None:
        try:
            namespace = _NAMESPACE_FILE.read_text().strip()
        except OSError:
            raise SettingsError(["leadership.namespace: outside of a pod it must be said"]) from None
    return LeaseApi(client.ApiClient(configuration), namespace, settings.lease_prefix)
