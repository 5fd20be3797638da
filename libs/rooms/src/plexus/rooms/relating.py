"""Relations in a chain: which may be made, and what is noted of them.

Whether an event may relate as it wants is judged upon its parent and upon the annotations that there are,
which are read before; the version that the write compares says that they are still so. So of two equal
annotations at the same time one is refused, on whichever replicas they are sent.

Client-Server API, "Avoiding duplicate annotations", "Validation of m.thread relationships".
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from plexus.protocol.errors import MatrixError
from plexus.protocol.events import Event, parse_raw
from plexus.protocol.relations import ANNOTATION, REPLACE, THREAD, Relation, may_replace, relation_of
from plexus.protocol.room_versions import RoomVersion
from plexus.rooms.redactions import Redactions
from plexus.rooms.values import NewEvent
from plexus.rooms.wishes import Annotation, Missing
from plexus.rooms.writes import Relating

_KEY_BYTES = 16


class Relations:
    """Those of one chain. ``annotations`` are the numbers of those events that have been found to be such
    annotations.
    """

    def __init__(
        self,
        version: RoomVersion,
        redactions: Redactions,
        annotations: Mapping[Annotation, tuple[int, ...]],
    ) -> None:
        self._version = version
        self._redactions = redactions
        self._annotations = annotations
        self._made: dict[Annotation, int] = {}

    def judge(self, sender: str, new: NewEvent) -> Annotation | None:
        """The annotation that a message will be, if it is one. 400 if it may not relate as it wants; raises
        `Missing`.
        """
        relation = relation_of(new.content)
        if relation is None or new.state_key is not None:
            return None
        parent = self._redactions.find(relation.parent)
        if parent is None:
            raise MatrixError(400, "M_UNKNOWN", "The event that this one relates to is not in this room")
        if relation.rel_type == THREAD and _relates(self._version, parent.raw):
            raise MatrixError(400, "M_UNKNOWN", "A thread cannot start from an event that relates to another")
        annotation = annotation_of(sender, new.type, relation)
        if annotation is None:
            return None
        if annotation not in self._annotations:
            raise Missing(annotations={annotation})
        made = self._made.get(annotation)
        there = self._annotations[annotation] + (() if made is None else (made,))
        if not all(map(self._redactions.has_taken, there)):
            raise MatrixError(400, "M_DUPLICATE_ANNOTATION", "You have annotated this event so already")
        return annotation

    def apply(self, annotation: Annotation, num: int) -> None:
        """It has been made, by the event of this number."""
        self._made[annotation] = num


def annotation_of(sender: str, type: str, relation: Relation) -> Annotation | None:
    """What makes an annotation the same as another."""
    key = _digest(relation)
    return None if key is None else Annotation(relation.parent, type, sender, key)


def relating(at: int, event: Event) -> Relating | None:
    """What is noted of the event at index ``at`` of a chain; None if it relates to nothing."""
    relation = relation_of(event.content)
    if relation is None:
        return None
    edit = relation.rel_type == REPLACE and may_replace(event.type, event.state_key, event.content)
    return Relating(at, relation.parent, relation.rel_type, _digest(relation), edit)


def _digest(relation: Relation) -> bytes | None:
    """Keys are of any length and may hold what PostgreSQL cannot."""
    if relation.rel_type != ANNOTATION or relation.key is None:
        return None
    return sha256(relation.key.encode("utf-8", "surrogatepass")).digest()[:_KEY_BYTES]


def _relates(version: RoomVersion, raw: bytes) -> bool:
    if b'"m.relates_to"' not in raw:
        return False
    content: dict[str, Any] = parse_raw(version, raw)["content"]
    return relation_of(content) is not None
