"""What a backup, a restore or a move is doing, for whoever shows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True, slots=True)
class Step:
    """``number`` of ``total`` in this phase; ``amount``: bytes of what is named so far; ``done``: its end."""

    phase: Literal["copy", "verify", "load", "move", "files", "media"]
    name: str
    number: int
    total: int
    amount: int = 0
    done: bool = False

    def at(self, amount: int, *, done: bool = False) -> Step:
        """The same thing, so far."""
        return replace(self, amount=amount, done=done)


REPORT_EVERY = 8 << 20
"""Bytes between two reports on the same thing."""

Report = Callable[[Step], None]


def silent(_step: Step) -> None:
    """Tell nobody."""
