"""Redaction: what is left of an event when its inessential keys are taken away.

The redacted form is also what is signed and what gives an event its ID, so this runs for every event. Nothing
given is changed; untouched values are shared with the result.

Client-Server API, "Redactions"; the keys are those of the room version (`RedactionRules`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plexus.protocol.room_versions import RoomVersion


def redact(version: RoomVersion, event: Mapping[str, Any]) -> dict[str, Any]:
    """The redacted copy of a PDU given as a JSON object.

    ``unsigned`` is dropped with everything else not listed; who serves the event adds ``redacted_because``.
    """
    keep = version.redaction.top_level
    redacted = {key: value for key, value in event.items() if key in keep}
    content = redacted.get("content")
    redacted["content"] = redact_content(
        version, redacted.get("type"), content if isinstance(content, dict) else {}
    )
    return redacted


def redact_content(version: RoomVersion, type: object, content: Mapping[str, Any]) -> Mapping[str, Any]:
    """The content that a redacted event of this type keeps."""
    rules = version.redaction
    if not isinstance(type, str) or type not in rules.content:
        return {}
    keep = rules.content[type]
    if keep is None:
        return content
    kept = {key: value for key, value in content.items() if key in keep}
    for (of_type, key), inner_keep in rules.nested.items():
        if of_type == type and key in kept:
            inner = kept.pop(key)
            if isinstance(inner, dict):
                # Also if that leaves it empty: the specification does not say, event IDs depend on it, and
                # Synapse keeps it.
                kept[key] = {name: value for name, value in inner.items() if name in inner_keep}
    return kept
