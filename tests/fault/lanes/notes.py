"""What followers and writers have noted, read back."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

LaneKey = tuple[str, int]


@dataclass
class Notes:
    """``lanes``: the subjects in the order they were given in, after cuts. ``wrong``: what must not be."""

    lanes: dict[LaneKey, list[str]] = field(default_factory=dict)
    generation: int | None = None
    cuts: int = 0
    delivered: int = 0
    wrong: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> Notes:
        """A follower's notes. Each fact must be the next of its lane."""
        notes = cls()
        for line in path.read_text().splitlines() if path.exists() else ():
            match line.split():
                case ["#", *_]:
                    pass
                case ["broken", number]:
                    if number != "0":
                        notes.wrong.append(f"found {number} holes in the log itself")
                case ["generation", number]:
                    notes.generation = int(number)
                case ["cut", family, lane, position]:
                    notes.cut((family, int(lane)), int(position))
                case [family, lane, position, subject]:
                    notes.add((family, int(lane)), int(position), subject)
        return notes

    def add(self, key: LaneKey, position: int, subject: str) -> None:
        given = self.lanes.setdefault(key, [])
        self.delivered += 1
        if position != len(given) + 1:
            self.wrong.append(f"{key[0]}{key[1]}: position {position} came after {len(given)}")
            given.extend(["(never given)"] * (position - len(given) - 1))
            del given[position - 1 :]
        given.append(subject)

    def cut(self, key: LaneKey, position: int) -> None:
        given = self.lanes.setdefault(key, [])
        if position > len(given):
            self.wrong.append(f"{key[0]}{key[1]}: cut forward from {len(given)} to {position}")
        if position < len(given):
            self.cuts += 1
        del given[position:]


def read_answered(path: Path) -> dict[LaneKey, dict[int, str]]:
    """A writer's notes: what was answered, by lane and position. A line cut short by a kill is left out."""
    answered: dict[LaneKey, dict[int, str]] = {}
    text = path.read_text() if path.exists() else ""
    for line in text[: text.rfind("\n") + 1].splitlines():
        family, lane, position, subject = line.split()
        answered.setdefault((family, int(lane)), {})[int(position)] = subject
    return answered
