"""What a check has found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warning", "failure"]

_ORDER: tuple[Level, ...] = ("ok", "warning", "failure")


@dataclass(frozen=True, slots=True)
class Finding:
    """``topic`` in a word, ``says`` and ``do`` as sentences without a full stop; ``do`` is empty if all is
    well.
    """

    topic: str
    level: Level
    says: str
    do: str = ""


def ok(topic: str, says: str) -> Finding:
    return Finding(topic, "ok", says)


def warning(topic: str, says: str, do: str) -> Finding:
    return Finding(topic, "warning", says, do)


def failure(topic: str, says: str, do: str) -> Finding:
    return Finding(topic, "failure", says, do)


def worst(findings: Iterable[Finding]) -> Level:
    """The level of the worst of them."""
    return max((finding.level for finding in findings), key=_ORDER.index, default="ok")
