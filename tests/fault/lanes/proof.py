"""The proof of the lanes: writers and followers as processes, killed and stopped at random; then the
accounts.

Every follower must have been given every committed fact of each lane once, in order, without a hole; and
every write that was answered must be among them.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from plexus.platform.embedded import EmbeddedPostgres
from plexus.platform.migrate import migrate

from tests.fault.lanes.notes import LaneKey, Notes, read_answered
from tests.support.postgres import binaries

WRITERS = 8
FOLLOWERS = 3
ROOT = Path(__file__).parents[3]


@dataclass
class Child:
    """A process of the proof, which can be started again."""

    command: list[str]
    stopped_until: float = 0.0
    process: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(self.command, cwd=ROOT, env=environment)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def freeze(self, seconds: float) -> None:
        self.process.send_signal(signal.SIGSTOP)
        self.stopped_until = time.monotonic() + seconds

    def thaw(self) -> None:
        if self.stopped_until:
            self.process.send_signal(signal.SIGCONT)
            self.stopped_until = 0.0


@dataclass
class Account:
    """``wrong`` is empty if all is well."""

    facts: int = 0
    answered: int = 0
    kills: int = 0
    freezes: int = 0
    cuts: int = 0
    lost: int = 0
    wrong: list[str] = field(default_factory=list)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Proof:
    def __init__(
        self, folder: Path, way: str, *, seed: int, pause: float = 0.02, patience: float = 20.0
    ) -> None:
        """``patience``: seconds that a follower may take in the end to reach the heads."""
        self.random = random.Random(seed)
        self.way = way
        self.folder = folder
        self.sockets = folder / "sockets"
        self.sockets.mkdir()
        self.end = folder / "end"
        self.account = Account()
        self.server = EmbeddedPostgres(folder / "postgres", binaries=binaries())
        self._pause = pause
        self._patience = patience
        self._copy: Path | None = None

    def run(self, seconds: float, *, restore: bool = False) -> Account:
        """``restore``: a third of the time in, the data folder is copied; at two thirds the copy takes its
        place.
        """
        self.server.start()
        children: list[Child] = []
        try:
            self._prepare()
            followers = [self._follower(n) for n in range(FOLLOWERS)]
            writers = [self._writer(n) for n in range(WRITERS)]
            children = followers + writers
            self._wait_for_first_writes()
            began = time.monotonic()
            if restore:
                self._disturb(followers, writers, began + seconds / 3)
                self._cold_copy()
                self._disturb(followers, writers, began + 2 * seconds / 3)
                self._put_back_copy()
            self._disturb(followers, writers, began + seconds)
            self._finish(followers, writers)
            self._settle(restored=restore)
        finally:
            for child in children:
                child.kill()
            self.server.stop()
        return self.account

    def _prepare(self) -> None:
        migrate(self.server.dsn(), ["platform"])
        with psycopg.connect(self.server.dsn(), autocommit=True) as connection:
            connection.execute((Path(__file__).parent / "writes.sql").read_bytes())

    def _wait_for_first_writes(self, seconds: float = 60.0) -> None:
        # A busy machine takes its time to start eleven processes.
        notes = [self.folder / f"writer-{number}" for number in range(WRITERS)]
        deadline = time.monotonic() + seconds
        while not all(path.exists() and path.stat().st_size for path in notes):
            if time.monotonic() > deadline:
                raise TimeoutError("the writers do not begin")
            time.sleep(0.05)

    def _writer(self, number: int) -> Child:
        where = ["--sockets", str(self.sockets), "--notes", str(self.folder / f"writer-{number}")]
        how = ["--dsn", self.server.dsn("plexus_writer"), "--way", self.way, "--pause", str(self._pause)]
        return Child([sys.executable, "-m", "tests.fault.lanes.writer", *how, *where])

    def _follower(self, number: int) -> Child:
        name = f"follower-{number}"
        where = ["--sockets", str(self.sockets), "--notes", str(self.folder / name), "--end", str(self.end)]
        how = ["--dsn", self.server.dsn("plexus_writer"), "--name", name, "--patience", str(self._patience)]
        return Child([sys.executable, "-m", "tests.fault.lanes.follow", *how, *where])

    def _disturb(self, followers: list[Child], writers: list[Child], until: float) -> None:
        children = followers + writers
        while (now := time.monotonic()) < until:
            for child in children:
                if child.process.poll() is not None:
                    self.account.wrong.append(f"{child.command[2]} ended with {child.process.returncode}")
                    child.start()
                elif child.stopped_until and child.stopped_until < now:
                    child.thaw()
            victim = self.random.choice(children)
            if not victim.stopped_until:
                if self.random.random() < 0.3:
                    victim.kill()
                    victim.start()
                    self.account.kills += 1
                else:
                    victim.freeze(self.random.choice((0.05, 0.5, 3.0)))
                    self.account.freezes += 1
            time.sleep(self.random.uniform(0.1, 0.7))

    def _cold_copy(self) -> None:
        self.server.stop()
        self._copy = self.folder / "copy"
        shutil.copytree(self.server.data, self._copy)
        self._start_with_new_generation("restarted")

    def _put_back_copy(self) -> None:
        assert self._copy is not None
        self.server.stop()
        shutil.rmtree(self.server.data)
        shutil.copytree(self._copy, self.server.data)
        self._start_with_new_generation("restored")

    def _start_with_new_generation(self, reason: str) -> None:
        # As a restore does it: the generation begins before anybody else is let in; here, on another port.
        alone = EmbeddedPostgres(self.server.folder, port=free_port(), binaries=binaries())
        with alone, psycopg.connect(alone.dsn(), autocommit=True) as connection:
            connection.execute("SELECT lanes.begin_generation(%s)", (reason,))
        self.server.start()

    def _finish(self, followers: list[Child], writers: list[Child]) -> None:
        for child in followers + writers:
            child.thaw()
        for writer in writers:
            writer.process.terminate()
        for writer in writers:
            # One that was only being started had no time to ask for the signal.
            if writer.process.wait(30) not in (0, -signal.SIGTERM):
                self.account.wrong.append(f"a writer ended with {writer.process.returncode}")
        aside = self.end.with_suffix(".new")
        aside.write_text(json.dumps(self._heads()))
        aside.rename(self.end)
        for follower in followers:
            if follower.process.wait(60) != 0:
                self.account.wrong.append(f"a follower ended with {follower.process.returncode}")

    def _heads(self) -> dict[str, list[int]]:
        with psycopg.connect(self.server.dsn()) as connection:
            rows = connection.execute("SELECT family, head FROM lanes.lane ORDER BY family, lane").fetchall()
        return {family: [head for f, head in rows if f == family] for family in "ru"}

    def _settle(self, *, restored: bool) -> None:
        wrong = self.account.wrong
        committed = self._committed()
        self.account.facts = sum(map(len, committed.values()))
        for number in range(FOLLOWERS):
            notes = Notes.read(self.folder / f"follower-{number}")
            wrong += [f"follower {number}: {problem}" for problem in notes.wrong]
            self.account.cuts += notes.cuts
            for key in committed.keys() | notes.lanes.keys():
                if notes.lanes.get(key, []) != committed.get(key, []):
                    wrong.append(f"follower {number}: {key[0]}{key[1]} is not what was committed")
        for number in range(WRITERS):
            for key, subjects in read_answered(self.folder / f"writer-{number}").items():
                lane = committed.get(key, [])
                for position, subject in subjects.items():
                    self.account.answered += 1
                    if lane[position - 1 : position] != [subject]:
                        self.account.lost += 1
        if self.account.lost and not restored:
            wrong.append(f"{self.account.lost} answered facts are not where they were said to be")

    def _committed(self) -> dict[LaneKey, list[str]]:
        """The subjects of each lane by position, as the database has them."""
        lanes: dict[LaneKey, list[str]] = {}
        query = "SELECT family, lane, position, subject FROM lanes.fact ORDER BY family, lane, position"
        with psycopg.connect(self.server.dsn()) as connection:
            for family, lane, position, subject in connection.execute(query).fetchall():
                given = lanes.setdefault((family, lane), [])
                if position != len(given) + 1:
                    self.account.wrong.append(f"{family}{lane} has a hole after {len(given)}")
                    given.extend(["(hole)"] * (position - len(given) - 1))
                given.append(subject)
            rows = connection.execute("SELECT count(*) FROM proof.row").fetchone()
        assert rows is not None
        if rows[0] != sum(subject != "(hole)" for subjects in lanes.values() for subject in subjects):
            self.account.wrong.append("there are not as many facts as rows")
        return lanes
