"""Relations between events: what an event says of the one that it relates to.

A relation that does not have the form of the schema is none ("simply ignored"). Rich replies are none either:
they have no ``rel_type``. Which relations hold is for those to say who know both events.

Client-Server API, "Forming relationships between events".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from plexus.protocol.identifiers import is_event_id

ANNOTATION: Final = "m.annotation"
REFERENCE: Final = "m.reference"
REPLACE: Final = "m.replace"
THREAD: Final = "m.thread"

MAX_REL_TYPE_BYTES = 255
"""That of a namespaced identifier."""


@dataclass(frozen=True, slots=True)
class Relation:
    """``m.relates_to``: the ID of the parent, in what way the child relates to it, and the ``key`` of an
    annotation.
    """

    parent: str
    rel_type: str
    key: str | None = None


def relation_of(content: Mapping[str, Any]) -> Relation | None:
    """What an event of this content relates to; None if it does not."""
    relates = content.get("m.relates_to")
    if not isinstance(relates, dict):
        return None
    rel_type, parent, key = relates.get("rel_type"), relates.get("event_id"), relates.get("key")
    if not (
        isinstance(rel_type, str) and _is_name(rel_type) and isinstance(parent, str) and is_event_id(parent)
    ):
        return None
    return Relation(parent, rel_type, key if rel_type == ANNOTATION and isinstance(key, str) else None)


def may_replace(type: str, state_key: str | None, content: Mapping[str, Any]) -> bool:
    """Whether an event has what a replacement must have, whatever it is to replace. Of an encrypted one the
    new content is not for us to see.

    Client-Server API, "Validity of replacement events".
    """
    if state_key is not None:
        return False
    return type == "m.room.encrypted" or isinstance(content.get("m.new_content"), dict)


def _is_name(rel_type: str) -> bool:
    try:
        size = len(rel_type.encode())
    except UnicodeEncodeError:
        return False
    return 0 < size <= MAX_REL_TYPE_BYTES and "\0" not in rel_type
