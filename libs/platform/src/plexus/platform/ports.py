"""The ports: what the platform needs from outside besides PostgreSQL, as Protocols.

Each port has an embedded adapter and one for a cluster, and one contract test in ``tests/contract`` that
runs on both. The prose of each method here is what the contract tests check.

    Ephemeral      short-lived shared state: counters, buckets, marks, typing and presence
    Cache          values that can be made again, each valid at a position of a lane
    ObjectStore    media bytes
    Leadership     who runs a periodic job, with an epoch that fences a zombie
    InternalCalls  the few calls from service to service

The store and the lane fan-out are ports too; they live with `plexus.platform.postgres` and
`plexus.platform.lanes`. Losing what stands behind Ephemeral or Cache loses no message and logs nobody out.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

from google.protobuf.message import Message


class Subscription(Protocol):
    def close(self) -> None:
        """No call-back comes after this. Closing twice is allowed."""
        ...


class Ephemeral(Protocol):
    """Short-lived state shared by replicas. Keys are text, values bytes; everything has a time to live."""

    async def get(self, key: str) -> bytes | None: ...

    async def set(self, key: str, value: bytes, *, ttl_ms: int) -> None: ...

    async def delete(self, key: str) -> None: ...

    async def increment(self, key: str, by: int = 1, *, ttl_ms: int) -> int:
        """Add and return the sum. The time to live starts with the first increment and is not prolonged."""
        ...

    async def merge_max(self, key: str, values: Mapping[str, int], *, ttl_ms: int) -> None:
        """Raise each named number to at least the given one, atomically; the time to live starts again."""
        ...

    async def numbers(self, key: str) -> dict[str, int]:
        """What `merge_max` made of this key; empty if nothing or if it has expired."""
        ...

    async def take(self, key: str, *, per_second: float, burst: float, cost: float = 1) -> float:
        """Take ``cost`` tokens from a bucket that starts full; return 0, or the seconds until they are there.

        Atomic. A refused take costs nothing. With ``cost`` 0 it asks whether one token could be had.
        """
        ...

    async def publish(self, channel: str, payload: bytes) -> None:
        """Hand ``payload`` to the subscribers that exist now, on any replica; at most once, no history."""
        ...

    async def subscribe(
        self, channel: str, callback: Callable[[bytes], None], again: Callable[[], None] | None = None
    ) -> Subscription:
        """Call back for what is published from now on, in the event loop. The callbacks must not block or
        raise.

        ``again`` is called when the channel works again after a time in which something published here or
        elsewhere may have been lost: who keeps what they hear has to say and to ask it anew.
        """
        ...

    async def close(self) -> None: ...


class Cache(Protocol):
    """Values that can be made again, shared by replicas.

    An entry is valid at a position of the lane that its key belongs to (the caller knows which), in a
    generation. The fact that changes the data is the invalidation; it comes in the same order as the data.
    So a slow reader cannot put back what it read before an invalidation it overtook.
    """

    async def get(self, key: str, *, generation: int, at_least: int = 0) -> bytes | None:
        """The value, if there is one of this generation valid at ``at_least`` or later."""
        ...

    async def put(self, key: str, value: bytes, *, generation: int, position: int, ttl_ms: int) -> bool:
        """Store what was read at ``position``; False if a newer value or invalidation is known."""
        ...

    async def invalidate(self, key: str, *, generation: int, position: int) -> None:
        """Nothing read before ``position`` may be served or stored any more."""
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class ObjectMeta:
    """``key`` as given to `ObjectStore.put`, ``size`` in bytes, ``modified_ms`` since the epoch."""

    key: str
    size: int
    modified_ms: int


class ObjectStore(Protocol):
    """Bytes by key. Keys are relative paths of ``[A-Za-z0-9._-]`` segments; others raise ValueError.

    Each raises `Unavailable` when the store cannot be reached or refuses; never does it wait without end.
    """

    async def put(self, key: str, data: bytes | AsyncIterator[bytes]) -> int:
        """Store, replacing what was there, and return the size. A stream that raises leaves nothing
        behind.
        """
        ...

    async def get(self, key: str) -> bytes | None: ...

    async def head(self, key: str) -> ObjectMeta | None: ...

    async def stream(
        self, key: str, *, start: int = 0, end: int | None = None
    ) -> AsyncIterator[bytes] | None:
        """The bytes from ``start`` to before ``end`` in chunks; None if there is no such object."""
        ...

    async def delete(self, key: str) -> None:
        """Remove it; no error if it is not there."""
        ...

    def list(self, prefix: str = "") -> AsyncIterator[ObjectMeta]:
        """All objects below the folder ``prefix``, in no order."""
        ...

    async def trouble(self) -> str | None:
        """What keeps the store from answering, in its own words, for the operator; None if it does."""
        ...


@dataclass(frozen=True, slots=True)
class Lease:
    """``epoch`` grows with every change of holder: carry it into what the holder writes."""

    name: str
    holder: str
    epoch: int


class LeaseLost(Exception):  # noqa: N818 - a finding, as in the protocol's tree
    """Somebody else holds the lease, or may: what was begun under it must not go on."""


class Leadership(Protocol):
    """Who runs a periodic job. A lease alone is no fence: writes check the epoch (`fence`)."""

    async def acquire(self, name: str, holder: str, *, ttl_ms: int) -> Lease | None:
        """The lease, if it is free, expired or already ours (then prolonged, same epoch); else None."""
        ...

    async def renew(self, lease: Lease, *, ttl_ms: int) -> None:
        """Prolong; `LeaseLost` if it was taken by another or has expired and been given again."""
        ...

    async def release(self, lease: Lease) -> None:
        """Give it back at once; no error if it was lost already."""
        ...

    async def check(self, lease: Lease) -> None:
        """`LeaseLost` unless this epoch holds the lease now."""
        ...

    async def idle(self, name: str, seconds: float) -> None:
        """Wait for so long before asking again for a lease that another has, or until it is known to be
        free.
        """
        ...

    async def close(self) -> None: ...


RequestT = TypeVar("RequestT", bound=Message)
ResponseT = TypeVar("ResponseT", bound=Message)
RequestT_contra = TypeVar("RequestT_contra", bound=Message, contravariant=True)
ResponseT_co = TypeVar("ResponseT_co", bound=Message, covariant=True)


@dataclass(frozen=True, slots=True)
class CallContext:
    """What travels with a call: the time left in milliseconds, and the trace and request it belongs to."""

    deadline_ms: int
    traceparent: str | None
    request_id: str | None


class Handler(Protocol[RequestT_contra, ResponseT_co]):
    def __call__(self, request: RequestT_contra, context: CallContext, /) -> Awaitable[ResponseT_co]: ...


class InternalCalls(Protocol):
    """Calls from one service to another, by service and method name as in ``proto/``."""

    def register(
        self,
        service: str,
        method: str,
        request: type[RequestT],
        response: type[ResponseT],
        handler: Handler[RequestT, ResponseT],
    ) -> None:
        """Answer calls to this method, in this process and from others. A handler neither keeps nor changes
        the request.
        """
        ...

    async def call(
        self,
        service: str,
        method: str,
        request: Message,
        response: type[ResponseT],
        *,
        deadline_ms: int,
        idempotent: bool = False,
    ) -> ResponseT:
        """The answer; the handler's `MatrixError` as it is; `Unavailable` when the deadline passes, when
        nobody answers that method, or when the handler fails in a way that is not its caller's business.

        ``idempotent``: the handler may run more than once for this call, so a connection that breaks after
        the request was sent is no end: it is sent again within the deadline. Without, a call runs at most
        once, and `Unavailable` may mean that it ran.
        """
        ...

    async def close(self) -> None: ...
