"""`make test`: every check and test of Plexus, the fast ones first, one line a part with the time it took.

A rung is either a set of checks that run side by side, or one pytest run over a folder. One that fails does
not stop the next, so that one run tells everything that is wrong. The last line is the total.

    python tests/ladder.py                 all rungs
    python tests/ladder.py lint unit       only these
    python tests/ladder.py --make-proto    generate libs/proto from proto/ again
    python tests/ladder.py --write-coverage    run integration, and make docs/coverage.md from what it saw
"""

from __future__ import annotations

import filecmp
import os
import random
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent


@dataclass
class Tally:
    """Counts of one or all pytest runs; a check of the lint rung counts as one test."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    broken: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        self.broken += other.broken

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed" + (
            f", {self.skipped} skipped" if self.skipped else ""
        )


def tool(name: str, *arguments: str) -> list[str]:
    return [str(BIN / name), *arguments]


def lint() -> Tally:
    """Checks that run no code of ours, side by side; the output of one is printed only when it fails."""
    commands = {
        "ruff check": tool("ruff", "check", "."),
        "ruff format": tool("ruff", "format", "--check", "."),
        "import-linter": tool("lint-imports"),
        "mypy": tool("mypy"),
        "proto": [sys.executable, __file__, "--check-proto"],
    }
    running = {
        name: subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for name, command in commands.items()
    }
    tally = Tally()
    for name, process in running.items():
        output, _ = process.communicate()
        if process.returncode:
            tally.failed += 1
            tally.broken.append(name)
            print(f"--- {name} (exit {process.returncode})\n{output.rstrip()}", flush=True)
        else:
            tally.passed += 1
            print(f"{name} ✓", flush=True)
    return tally


@dataclass
class Run:
    """One pytest: its output is passed on as it comes, or kept for the end. A JUnit file has its counts."""

    arguments: Sequence[str]
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def start(self, *, kept: bool) -> None:
        self.folder.mkdir()
        self._output = (self.folder / "output").open("w+") if kept else None
        flags = ["-q", f"--junitxml={self.folder / 'report.xml'}", "--durations=5"]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "pytest", *flags, *self.arguments],
            cwd=ROOT,
            env=os.environ | self.environment,
            stdout=self._output,
            stderr=subprocess.STDOUT if kept else None,
        )

    def finish(self) -> Tally:
        code = self._process.wait()
        if self._output is not None:
            self._output.seek(0)
            print(self._output.read(), flush=True)
            self._output.close()
        report = self.folder / "report.xml"
        tally = counts(report) if report.exists() else Tally()
        if code and not tally.failed:  # an interrupted or unstartable run has no failed test to show for it
            tally.failed += 1
            tally.broken.append(f"pytest {self.arguments[0]} (exit {code})")
        return tally


def pytest(*arguments: str, environment: Mapping[str, str] | None = None) -> Callable[[], Tally]:
    """A rung that runs pytest."""
    return side_by_side(arguments, environment=environment)


def side_by_side(*groups: Sequence[str], environment: Mapping[str, str] | None = None) -> Callable[[], Tally]:
    """A rung of several pytest runs at a time, each with servers of its own: tests mostly wait."""

    def run() -> Tally:
        total = Tally()
        with tempfile.TemporaryDirectory() as folder:
            runs = [
                Run(group, Path(folder) / str(number), environment or {})
                for number, group in enumerate(groups)
            ]
            for number, one in enumerate(runs):
                one.start(kept=number > 0)
            for one in runs:
                total.add(one.finish())
        return total

    return run


def folders(*names: str) -> list[str]:
    return [f"tests/integration/{name}" for name in names]


HEAVY = ("accounts", "backup", "cli", "doctor", "fuzz", "platform", "postgres", "telemetry", "wire")
"""The folders of tests/integration that start servers and commands. The others take as long together."""


def stories() -> list[str]:
    """The folders that are not `HEAVY`, also those to come."""
    found = sorted(path.name for path in (ROOT / "tests/integration").iterdir() if path.is_dir())
    return folders(*(name for name in found if name not in HEAVY and not name.startswith("_")))


RECORD = "TEST_RECORD"
"""The folder in which the tests note which operations they have seen; a new one unless given."""

TORTURE = "PLEXUS_TEST_TORTURE"

TORTURED = (
    ("accounts", "client_api", "fuzz", "keys", "media", "telemetry", "users", "wire"),
    ("platform", "sync"),
)
"""The folders of tests/integration that stand on a fan-out which the switch is for. `rooms` and `lanes` bring
one of their own; the others are about PostgreSQL, commands and backups. They pass with it too."""


def torture() -> Tally:
    """What has to do with the fan-out, while it loses, repeats and delays; the seed from the environment, or
    another one each time.
    """
    seed = os.environ.get(TORTURE) or str(random.randrange(1_000_000))
    print(f"{TORTURE}={seed}", flush=True)
    groups = [folders(*names) for names in TORTURED]
    return side_by_side(*groups, environment={TORTURE: seed})()


ON_A_CLUSTER = ("--topology", "cluster")


def counts(report: Path) -> Tally:
    tally = Tally()
    for case in ET.parse(report).iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            tally.failed += 1
            tally.broken.append(f"{case.get('classname')}::{case.get('name')}")
        elif case.find("skipped") is not None:
            tally.skipped += 1
        else:
            tally.passed += 1
    return tally


def coverage() -> Tally:
    """Whether docs/coverage.md is what the integration rung of this run has seen of the specification, and
    client-api is whole.
    """
    done = subprocess.run([sys.executable, "-m", "tests.coverage", os.environ[RECORD]], cwd=ROOT, check=False)
    if done.returncode == 0:
        return Tally(passed=1)
    print("an operation is not there that should be, or docs/coverage.md is not what the tests have seen:")
    print("run `make coverage`, and look at what changed")
    return Tally(failed=1, broken=["docs/coverage.md"])


def write_coverage() -> int:
    """`make coverage`: the integration rung, and the page from what it saw."""
    main(["integration"])
    command = [sys.executable, "-m", "tests.coverage", os.environ[RECORD], "--write"]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


RUNGS: dict[str, Callable[[], Tally]] = {
    "lint": lint,
    "unit": side_by_side(["tests/unit", "--ignore", "tests/unit/protocol"], ["tests/unit/protocol"]),
    "contract": pytest("tests/contract"),
    "integration": side_by_side(folders(*HEAVY), stories()),
    "coverage": coverage,
    "torture": torture,
    "interop": pytest("tests/interop", "--topology", "embedded"),
    # test_synapse starts no Plexus.
    "clustered": side_by_side(
        ["tests/cluster", "tests/interop", *ON_A_CLUSTER, "--ignore", "tests/interop/test_synapse.py"],
        [*folders("accounts", "client_api", "keys", "media", "sync"), *ON_A_CLUSTER],
    ),
    "fault": pytest("tests/fault", "-m", "not slow"),
}


# --- proto: lint, no breaking change since proto/base.binpb, committed code equal to what is generated ---


def proto_files() -> list[str]:
    return sorted(str(path.relative_to(ROOT / "proto")) for path in (ROOT / "proto").rglob("*.proto"))


def generate(target: Path) -> None:
    """Write the Python modules and stubs of every .proto file below `target`."""
    environment = os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}"}
    command = [
        *(sys.executable, "-m", "grpc_tools.protoc", f"-I{ROOT / 'proto'}"),
        *(f"--python_out={target}", f"--mypy_out=quiet:{target}", *proto_files()),
    ]
    subprocess.run(command, cwd=ROOT / "proto", env=environment, check=True)


def breaking_changes(base: Path) -> Iterator[str]:
    """What readers of `base`, the messages of the last release as an image of buf's, could not bear."""
    if not base.is_file():
        yield f"{base.name} is missing: nothing to compare with (bring it back from the repository's history)"
    elif subprocess.run(
        tool("buf", "breaking", "proto", "--against", str(base)), cwd=ROOT, check=False
    ).returncode:
        yield "a message changed in a way that readers of the old one cannot bear"


def check_proto() -> Iterator[str]:
    """What is wrong with proto/, in words; nothing when all is well."""
    if subprocess.run(tool("buf", "lint", "proto"), cwd=ROOT, check=False).returncode:
        yield "buf lint found the above"
    yield from breaking_changes(ROOT / "proto" / "base.binpb")
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder))
        for path in sorted(Path(folder).rglob("*_pb2.py*")):
            committed = ROOT / "libs/proto/src" / path.relative_to(folder)
            if not committed.exists() or not filecmp.cmp(path, committed, shallow=False):
                yield f"{committed.relative_to(ROOT)} is not what proto/ generates: run `make proto`"


def main(arguments: list[str]) -> int:
    if arguments == ["--make-proto"]:
        generate(ROOT / "libs/proto/src")
        return 0
    if arguments == ["--check-proto"]:
        wrong = list(check_proto())
        print("\n".join(wrong))
        return bool(wrong)
    if arguments == ["--write-coverage"]:
        return write_coverage()
    unknown = set(arguments) - set(RUNGS)
    if unknown:
        print(f"unknown part {', '.join(sorted(unknown))}; there are {', '.join(RUNGS)}")
        return 2

    total, times = Tally(), {}
    for name in arguments or RUNGS:
        print(f"\n=== {name}", flush=True)
        started = time.monotonic()
        tally = RUNGS[name]()
        total.add(tally)
        times[name] = (time.monotonic() - started, tally)
        print(f"=== {name}: {tally} in {times[name][0]:.0f} s", flush=True)

    print()
    for name, (seconds, tally) in times.items():
        print(f"{name:12s} {seconds:6.0f} s   {tally}")
    for test in total.broken:
        print(f"failed: {test}")
    print(total, flush=True)
    return bool(total.failed)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="plexus-recorded-") as recorded:
        os.environ.setdefault(RECORD, recorded)
        sys.exit(main(sys.argv[1:]))
