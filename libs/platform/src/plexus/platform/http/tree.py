"""The tree of routes: from method and path segments to a route, in the number of segments.

FastAPI tries its routes one after the other (335 µs behind 130 of them). Here each segment is one look-up: a
static segment goes before a parameter, a parameter before the rest of a path. A wrong turn (a static segment
that leads to no route of this method) is taken back.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")

_PARAMETER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)(:path)?\}")


class RouteConflict(ValueError):  # noqa: N818 - says what it is
    """Two routes claim the same method and path."""


@dataclass(frozen=True, slots=True)
class Leaf(Generic[T]):
    """``names`` are the template's parameters in order."""

    template: str
    names: tuple[str, ...]
    target: T


class _Node(Generic[T]):
    __slots__ = ("leaves", "param", "rest", "static")

    def __init__(self) -> None:
        self.static: dict[str, _Node[T]] = {}
        self.param: _Node[T] | None = None
        self.rest: dict[str, Leaf[T]] | None = None
        self.leaves: dict[str, Leaf[T]] = {}


@dataclass(slots=True)
class RouteTree(Generic[T]):
    _root: _Node[T] = field(default_factory=_Node)
    _literal: dict[tuple[str, bytes], Leaf[T]] = field(default_factory=dict)

    def add(self, method: str, template: str, target: T) -> None:
        """``template`` as in FastAPI; a parameter fills a whole segment, ``{name:path}`` the rest of the
        path.
        """
        node = self._root
        names: list[str] = []
        segments = template.split("/")
        for index, segment in enumerate(segments):
            found = _PARAMETER.fullmatch(segment)
            if found is None:
                if "{" in segment:
                    raise ValueError(f"{template}: a parameter must be a whole segment")
                node = node.static.setdefault(segment, _Node())
                continue
            names.append(found[1])
            if found[2]:
                if index != len(segments) - 1:
                    raise ValueError(f"{template}: a path parameter must be the last segment")
                if node.rest is None:
                    node.rest = {}
                self._put(node.rest, method, Leaf(template, tuple(names), target))
                return
            if node.param is None:
                node.param = _Node()
            node = node.param
        leaf = Leaf(template, tuple(names), target)
        self._put(node.leaves, method, leaf)
        if not names and "%" not in template:
            self._literal[method, template.encode()] = leaf

    @staticmethod
    def _put(leaves: dict[str, Leaf[T]], method: str, leaf: Leaf[T]) -> None:
        if method in leaves:
            raise RouteConflict(f"{method} {leaf.template} and {leaves[method].template} are the same route")
        leaves[method] = leaf

    def literal(self, method: str, raw_path: bytes) -> Leaf[T] | None:
        """The route whose template is this very path, before anything is split or decoded: what `find` would
        come to, since static segments go first.
        """
        return self._literal.get((method, raw_path))

    def find(self, method: str, segments: Sequence[str]) -> tuple[Leaf[T], dict[str, str]] | None:
        """The route and its parameters, for a path that is split at ``/`` and percent-decoded."""
        # The straight way first: nearly every request takes it, and it makes no call.
        node = self._root
        values: list[str] = []
        for segment in segments:
            below = node.static.get(segment)
            if below is None:
                below = node.param
                if below is None:
                    break
                values.append(segment)
            node = below
        else:
            leaf = node.leaves.get(method)
            if leaf is not None:
                return leaf, dict(zip(leaf.names, values, strict=True))
        found = self._search(self._root, method, segments, 0, ())
        if found is None:
            return None
        leaf, taken = found
        return leaf, dict(zip(leaf.names, taken, strict=True))

    def _search(
        self, node: _Node[T], method: str, segments: Sequence[str], index: int, values: tuple[str, ...]
    ) -> tuple[Leaf[T], tuple[str, ...]] | None:
        if index == len(segments):
            leaf = node.leaves.get(method)
            return (leaf, values) if leaf is not None else None
        segment = segments[index]
        below = node.static.get(segment)
        if below is not None:
            found = self._search(below, method, segments, index + 1, values)
            if found is not None:
                return found
        if node.param is not None:
            found = self._search(node.param, method, segments, index + 1, (*values, segment))
            if found is not None:
                return found
        if node.rest is not None and method in node.rest:
            return node.rest[method], (*values, "/".join(segments[index:]))
        return None

    def methods(self, segments: Sequence[str]) -> set[str]:
        """The methods that this path has; empty if there is no such path."""
        found: set[str] = set()
        self._collect(self._root, segments, 0, found)
        return found

    def _collect(self, node: _Node[T], segments: Sequence[str], index: int, found: set[str]) -> None:
        if index == len(segments):
            found.update(node.leaves)
            return
        below = node.static.get(segments[index])
        if below is not None:
            self._collect(below, segments, index + 1, found)
        if node.param is not None:
            self._collect(node.param, segments, index + 1, found)
        if node.rest is not None:
            found.update(node.rest)
