from __future__ import annotations

from plexus.platform.clock import ManualClock
from plexus.platform.marks import MemoryMarks


async def test_marks_merge_by_maximum() -> None:
    marks = MemoryMarks(ManualClock())
    await marks.set("@a:x", {("r", 1): 5, ("u", 2): 7})
    await marks.set("@a:x", {("r", 1): 3, ("r", 9): 1})
    assert await marks.get("@a:x") == {("r", 1): 5, ("u", 2): 7, ("r", 9): 1}
    assert await marks.get("@b:x") == {}


async def test_marks_expire_after_the_last_one() -> None:
    clock = ManualClock()
    marks = MemoryMarks(clock, ttl=60)
    await marks.set("@a:x", {("r", 1): 5})
    clock.advance(50)
    await marks.set("@a:x", {("r", 2): 6})
    clock.advance(50)
    assert await marks.get("@a:x") == {("r", 1): 5, ("r", 2): 6}
    clock.advance(11)
    assert await marks.get("@a:x") == {}
    await marks.set("@a:x", {("r", 1): 1})
    assert await marks.get("@a:x") == {("r", 1): 1}


async def test_the_users_remembered_are_bounded() -> None:
    marks = MemoryMarks(ManualClock(), users=3)
    for n in range(5):
        await marks.set(f"@{n}:x", {("r", 1): 1})
    assert [bool(await marks.get(f"@{n}:x")) for n in range(5)] == [False, False, True, True, True]
