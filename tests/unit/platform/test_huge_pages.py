"""The heap in huge pages: a real process asks the real kernel."""

from __future__ import annotations

import asyncio
import platform
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from plexus.platform import huge_pages
from plexus.platform.heap import page_size
from plexus.platform.huge_pages import HugePages, Mapping
from plexus.platform.telemetry.metrics import Metrics

MIB = 1 << 20
MAKES_THEM_AT_ONCE = (
    page_size() > 0
    and "[madvise]" in Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text()
    and tuple(map(int, platform.release().split(".")[:2])) >= (6, 1)
)


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    (tmp_path / "enabled").write_text("always [madvise] never\n")
    (tmp_path / "hpage_pmd_size").write_text("2097152\n")
    return tmp_path


def test_what_the_kernel_offers(kernel: Path) -> None:
    assert page_size(kernel) == 2 * MIB
    (kernel / "enabled").write_text("always madvise [never]\n")
    assert page_size(kernel) == 0, "who runs the machine has said no"
    assert page_size(kernel / "away") == 0, "no Linux, or one without"


def test_a_mapping_holds_whole_pages_only() -> None:
    assert list(Mapping(3, 25, 0, 0).whole(8)) == [8, 16]
    assert list(Mapping(8, 16, 0, 0).whole(8)) == [8]
    assert list(Mapping(1, 15, 0, 0).whole(8)) == []


def test_a_process_has_its_heap_in_huge_pages_and_finds_it_unchanged() -> None:
    program = """
        import threading
        from plexus.platform.huge_pages import HugePages, mappings
        from plexus.platform.telemetry.metrics import Metrics

        threading.Thread(target=threading.Event().wait, daemon=True).start()
        stacks = {
            (one.start, one.end)
            for one in mappings()
            if one.end - one.start >= 8 << 20 and one.resident < 1 << 20
        }
        kept = [{"number": number, "name": str(number)} for number in range(100_000)]
        before = sum(mapping.huge for mapping in mappings())
        pages = HugePages(Metrics())
        after = pages.ask()
        assert kept == [{"number": number, "name": str(number)} for number in range(100_000)]
        still = [one for one in mappings() if (one.start, one.end) in stacks]
        print(before, after, len(still), sum(one.huge for one in still))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    before, after, stacks, in_stacks = map(int, done.stdout.split())
    # 100,000 dictionaries are some 40 MiB.
    assert after >= before + 16 * MIB if MAKES_THEM_AT_ONCE else after >= before
    assert stacks >= 1
    assert in_stacks == 0, "a thread's stack is left as it is"


def test_a_process_that_has_grown_asks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    resident = [100 * MIB]
    asked: list[int] = []
    monkeypatch.setattr(huge_pages, "FIRST_SECONDS", 0.01)
    monkeypatch.setattr(huge_pages, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(huge_pages, "resident_bytes", lambda: resident[-1])

    def looked_at() -> Iterator[Mapping]:
        asked.append(resident[-1])
        return iter(())

    monkeypatch.setattr(huge_pages, "mappings", looked_at)

    async def until(rounds: int) -> None:
        async with asyncio.timeout(5):
            while len(asked) < 2 * rounds:  # each looks before and after
                await asyncio.sleep(0.005)

    async def scenario() -> None:
        pages = HugePages(Metrics())
        monkeypatch.setattr(pages, "_size", 2 * MIB)
        await pages.start()
        await until(1)
        resident.append(100 * MIB + huge_pages.GROWN_BYTES - 1)
        await asyncio.sleep(0.1)
        assert len(asked) == 2, "not enough to be worth a round"
        resident.append(100 * MIB + huge_pages.GROWN_BYTES)
        await until(2)
        await pages.stop()

    asyncio.run(scenario())
    assert asked == [100 * MIB] * 2 + [100 * MIB + huge_pages.GROWN_BYTES] * 2


def test_a_kernel_that_does_not_tell_is_told_of_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def hidden() -> Iterator[Mapping]:
        raise PermissionError("smaps")

    monkeypatch.setattr(huge_pages, "FIRST_SECONDS", 0.01)
    monkeypatch.setattr(huge_pages, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(huge_pages, "mappings", hidden)

    async def scenario() -> None:
        pages = HugePages(Metrics())
        monkeypatch.setattr(pages, "_size", 2 * MIB)
        await pages.start()
        async with asyncio.timeout(5):
            while len(asyncio.all_tasks()) > 1:
                await asyncio.sleep(0.01)
        await pages.stop()

    asyncio.run(scenario())
    assert [record.getMessage() for record in caplog.records] == ["The heap stays in small pages"]


def test_where_the_kernel_has_none_nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        pages = HugePages(Metrics())
        monkeypatch.setattr(pages, "_size", 0)
        await pages.start()
        assert len(asyncio.all_tasks()) == 1
        await pages.stop()

    asyncio.run(scenario())
