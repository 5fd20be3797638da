"""The heap in one piece: real processes, by what Linux says of their memory."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest
from plexus.platform.heap import page_size

MIB = 1 << 20
PROGRAM = """
    import sys

    def largest():
        sizes = {}
        for line in open("/proc/self/maps"):
            if len(line.split()) == 5:
                start, end = (int(part, 16) for part in line.split()[0].split("-"))
                sizes[start] = end - start
        return max(sizes.values())

    from plexus.platform.heap import take_at_once
    taken = int(sys.argv[1])
    before = largest()
    if taken:
        take_at_once(taken)
    got = largest()
    import asyncio, decimal, email.message, json, sqlite3, ssl  # libraries, and what lies between them
    used = [{"number": number} for number in range(40_000)]
    full = largest()
    del used
    print(before, got, full, largest())
"""


def sizes(taken: int) -> list[int]:
    """The largest stretch of memory without a name: before, after what was taken, with objects, without."""
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), str(taken)], check=True, capture_output=True
    )
    return [int(word) for word in ran.stdout.split()]


@pytest.mark.skipif(not page_size(), reason="nothing is taken where there are no huge pages")
def test_what_is_taken_at_once_lies_together_and_stays() -> None:
    before, got, full, left = sizes(24)
    assert before < 8 * MIB
    # One or two fit between what is there already.
    assert got >= 22 * MIB, "in one piece"
    assert full >= got, "libraries are not in between"
    assert left >= 22 * MIB, "what is free of it is still ours"


@pytest.mark.skipif(not page_size(), reason="nothing is taken where there are no huge pages")
def test_objects_go_where_memory_was_taken() -> None:
    """A process that has taken enough takes nothing more for them."""
    _, got, full, _ = sizes(24)
    assert full < got + 2 * MIB
