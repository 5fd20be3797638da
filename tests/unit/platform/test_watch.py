"""Watched files: nothing that a file or its loader does ends the watching."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest
from plexus.platform.watch import Watched, Watcher


class Loader:
    """Reads a file; ``fails`` is raised instead."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.loaded: list[str] = []
        self.fails: Exception | None = None

    def load(self) -> None:
        if self.fails is not None:
            raise self.fails
        self.loaded.append(self.path.read_text())

    async def until(self, text: str) -> None:
        async with asyncio.timeout(5):
            while not self.loaded or self.loaded[-1] != text:
                await asyncio.sleep(0.01)


def test_a_file_that_cannot_even_be_looked_at(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "mounted"
    folder.mkdir()
    loader = Loader(folder / "key")
    loader.path.write_text("one")
    watched = Watched("the key", [loader.path], loader.load)
    folder.rename(tmp_path / "away")
    folder.write_text("")  # stat() says NotADirectoryError; a mount that is gone says ESTALE or EIO
    for _ in range(3):
        assert not watched.check()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "Cannot reload the key" in caplog.text
    folder.unlink()
    folder.symlink_to(folder)  # a link to itself: ELOOP
    assert not watched.check()
    folder.unlink()
    (tmp_path / "away").rename(folder)
    loader.path.write_text("two, longer")
    assert watched.check()
    assert loader.loaded == ["two, longer"]


async def test_the_watch_outlives_a_loader_that_breaks(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken, sound = Loader(tmp_path / "a"), Loader(tmp_path / "b")
    watcher = Watcher(0.01)
    for loader in (broken, sound):
        loader.path.write_text("one")
        watcher.add(Watched(f"file {loader.path.name}", [loader.path], loader.load))
    broken.fails = RuntimeError("of no known kind")
    await watcher.start()
    broken.path.write_text("two, longer")
    async with asyncio.timeout(5):
        while not caplog.records:
            await asyncio.sleep(0.01)
    sound.path.write_text("two, longer")
    await sound.until("two, longer")
    [record] = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert record.getMessage() == "Cannot reload file a, keeping what was loaded"
    assert record.exc_info is not None and record.exc_info[1] is broken.fails
    broken.fails = None
    await broken.until("two, longer")
    await watcher.stop()
