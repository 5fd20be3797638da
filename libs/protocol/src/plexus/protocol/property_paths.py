"""Dot-separated property paths, as filters use them.

Appendices, "Dot-separated property paths".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from functools import lru_cache
from typing import Any


def apply_event_fields(event: Mapping[str, Any], fields: Sequence[str]) -> dict[str, Any]:
    """The event with only these properties, each a dot-separated path. Absent ones are left out."""
    kept: dict[str, Any] = {}
    for path in fields:
        *parents, last = split_path(path)
        source: Any = event
        for name in parents:
            source = source.get(name) if isinstance(source, Mapping) else None
        if not isinstance(source, Mapping) or last not in source:
            continue
        target: Any = kept
        for name in parents:
            target = target.setdefault(name, {})
        # Copied, so that a longer path below this one does not write into the caller's event.
        target[last] = deepcopy(source[last])
    return kept


@lru_cache(maxsize=1024)
def split_path(path: str) -> tuple[str, ...]:
    r"""The property names of a dot-separated path; ``\.`` and ``\\`` stand for a dot and a backslash in a
    name.
    """
    names = [""]
    escaped = False
    for character in path:
        if escaped:
            # Other escapes are reserved and stand for themselves, backslash included.
            names[-1] += character if character in ".\\" else "\\" + character
            escaped = False
        elif character == "\\":
            escaped = True
        elif character == ".":
            names.append("")
        else:
            names[-1] += character
    if escaped:
        names[-1] += "\\"
    return tuple(names)
