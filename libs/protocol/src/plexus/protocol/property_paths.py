"""Dot-separated property paths, as filters use them.

Appendices, "Dot-separated property paths".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

_KEPT_LENGTH = 255
"""Longer paths are split anew each time: what is kept is bounded, whatever a stranger asks for."""


def without_redundant(paths: Iterable[str]) -> tuple[str, ...]:
    """The paths but for those that repeat another or lie below one, in the order given."""
    kept: dict[str, None] = {}
    above: tuple[str, ...] | None = None
    split = {path: split_path(path) for path in paths}
    # Sorted, a path comes right before all that lies below it.
    for path, names in sorted(split.items(), key=lambda each: each[1]):
        if above is None or names[: len(above)] != above:
            kept[path] = None
            above = names
    return tuple(path for path in split if path in kept)


def apply_event_fields(event: Mapping[str, Any], fields: Sequence[str]) -> dict[str, Any]:
    """The event with only these properties, each a dot-separated path. Absent ones are left out.

    The values are the event's own, not copies. No path may lie below another: see `without_redundant`.
    """
    kept: dict[str, Any] = {}
    for path in fields:
        *parents, last = split_path(path)
        source: Any = event
        for name in parents:
            source = source.get(name) if isinstance(source, Mapping) else None
            if source is None:
                break
        if not isinstance(source, Mapping) or last not in source:
            continue
        target: Any = kept
        for name in parents:
            target = target.setdefault(name, {})
        target[last] = source[last]
    return kept


def split_path(path: str) -> tuple[str, ...]:
    r"""The property names of a dot-separated path; ``\.`` and ``\\`` stand for a dot and a backslash in a
    name.
    """
    return _split_kept(path) if len(path) <= _KEPT_LENGTH else _split(path)


def _split(path: str) -> tuple[str, ...]:
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


_split_kept = lru_cache(maxsize=1024)(_split)
