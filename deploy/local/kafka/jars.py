"""Kafka's jars, and how Java is called with them."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from deploy.local.installing import need
from deploy.local.program import ProgramError

POM = Path(__file__).with_name("pom.xml")
VERSION = "4.4.0"
_DEFAULT_CACHE = Path(__file__).parents[3] / "build" / "kafka"
_ARCHIVE = "kafka.jsa"


def cache_folder() -> Path:
    return Path(os.environ.get("PLEXUS_TEST_KAFKA_LIBS") or _DEFAULT_CACHE)


def jars(cache: Path | None = None) -> Path:
    """The folder with the jars, fetched if they are not there. Two processes may ask at once.

    `ProgramError` if Java or Maven cannot be had, or the jars cannot be fetched.
    """
    cache = (cache or cache_folder()).absolute()
    folder = cache / VERSION
    if not folder.is_dir():
        with locked(cache):
            if not folder.is_dir():
                _fetch(folder)
    return folder


def java(folder: Path, main: str, *arguments: str, options: Sequence[str] = ()) -> list[str]:
    """The command that runs a class of the jars."""
    archive = folder / _ARCHIVE
    shared = [f"-XX:SharedArchiveFile={archive}"] if archive.exists() else []
    return [
        str(need("java")["java"]),
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        *shared,
        *options,
        "-cp",
        f"{folder}/*",
        main,
        *arguments,
    ]


def archive(folder: Path) -> Path:
    """Where the archive of the classes is, or will be."""
    return folder / _ARCHIVE


@contextmanager
def locked(cache: Path) -> Iterator[None]:
    """One process at a time works on the cache; the lock ends with the process."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fetch(folder: Path) -> None:
    maven = need("java", "mvn")["mvn"]
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="fetching-") as aside:
        libs = Path(aside) / "libs"
        command = [str(maven), "-q", "-B", "-f", str(POM), "dependency:copy-dependencies"]
        done = subprocess.run(
            [*command, f"-DoutputDirectory={libs}", "-DincludeScope=runtime"],
            cwd=aside,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode or not any(libs.glob("kafka_*.jar")):
            raise ProgramError(f"Maven did not fetch Kafka's jars:\n{(done.stdout + done.stderr)[-2_000:]}")
        shutil.rmtree(folder, ignore_errors=True)
        libs.rename(folder)
