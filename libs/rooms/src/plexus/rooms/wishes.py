"""Between an actor and the builder of its chain: what is wanted, what must be read for it, and what came of
it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from plexus.platform.telemetry import RequestContext
from plexus.protocol.errors import InvalidParam, MatrixError
from plexus.protocol.identifiers import is_user_id
from plexus.rooms.head import StateKey
from plexus.rooms.values import NewEvent, Txn


@dataclass(frozen=True, slots=True)
class Wish:
    """An event that a user wants to send. ``ts`` in milliseconds; ``traced``: the request, if it is."""

    sender: str
    event: NewEvent
    txn: Txn | None
    ts: int
    traced: RequestContext | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """The event that a redaction, or a relation, names. ``raw`` as it is now; ``is_redacted``: nothing is
    left to take away.
    """

    num: int
    type: str
    sender: str
    state_key: str | None
    raw: bytes
    is_redacted: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a wish: an event (``at`` its index in the chain, None if it is an older one), or an
    error.

    ``unless_sent``: nothing is to be written, so nothing will compare the wish's transaction id; whoever
    tells this verdict must look first whether that id has made an event before.
    """

    event_id: str = ""
    at: int | None = None
    replayed: bool = False
    error: MatrixError | None = None
    unless_sent: bool = False


class Annotation(NamedTuple):
    """What a user may say once of an event. ``key`` stands for the annotation's key."""

    parent: str
    type: str
    sender: str
    key: bytes


@dataclass(slots=True)
class Found:
    """What was read for a chain besides the head. Targets are events by ID, None where there is none in the
    room; ``pages`` of the state's checkpoint; ``annotations`` the numbers of those there are.
    """

    targets: dict[str, Target | None] = field(default_factory=dict)
    pages: dict[int, bytes] = field(default_factory=dict)
    annotations: dict[Annotation, tuple[int, ...]] = field(default_factory=dict)


@dataclass(slots=True)
class Missing(Exception):  # noqa: N818 - a question, not an error
    """What must be read before the chain can be built."""

    entries: set[StateKey] = field(default_factory=set)
    targets: set[str] = field(default_factory=set)
    pages: set[int] = field(default_factory=set)
    annotations: set[Annotation] = field(default_factory=set)
    chain: bool = False

    def __bool__(self) -> bool:
        return bool(self.entries or self.targets or self.pages or self.annotations or self.chain)


def check_names(new: NewEvent) -> None:
    """`InvalidParam` for what PostgreSQL cannot hold, and for a member who is no user."""
    if "\0" in new.type or (new.state_key is not None and "\0" in new.state_key):
        raise InvalidParam("An event's type and state key cannot hold U+0000")
    if new.type == "m.room.member" and new.state_key is not None and not is_user_id(new.state_key):
        raise InvalidParam("The state key of a membership is a user ID")
