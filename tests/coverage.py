"""``docs/coverage.md``: every client-server operation, and whether the end-to-end tests have seen it granted
and refused. Made from what the tests noted (``tests/support/recording.py``).

    python -m tests.coverage NOTES            compare with the page; what differs is said, and fails
    python -m tests.coverage NOTES --write    make the page anew

Either way it fails for an operation of client-api that is not there, but for `UNBUILT` and `REFUSED`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.support import spec

PAGE = Path(__file__).resolve().parent.parent / "docs" / "coverage.md"

UNBUILT = frozenset(
    {
        "redirectToSSO",
        "redirectToIdP",
        "getAuthMetadata",
        "pingAppservice",
        "updateAppserviceRoomDirectoryVisibility",
        "getProtocols",
        "getProtocolMetadata",
        "queryLocationByAlias",
        "queryLocationByProtocol",
        "queryUserByID",
        "queryUserByProtocol",
    }
)
"""Operations of client-api that come later: they answer 404 and nothing else."""

REFUSED = frozenset(
    {"requestTokenTo3PIDMSISDN", "requestTokenToRegisterMSISDN", "requestTokenToResetPasswordMSISDN"}
)
"""Operations of client-api that are always refused: M_THREEPID_MEDIUM_NOT_SUPPORTED."""

WHOLE = "client-api"

_HEAD = """# Coverage of the client-server API

Made by the tests; do not edit. An operation is *there* when the end-to-end tests have seen it answered with
success and with an error, each request that was granted and each answer valid by the specification's schemas.
Of the others it is said what is missing. What is not built answers 404 `M_UNRECOGNIZED`.

| service | there | of |
| --- | ---: | ---: |
"""


def read(notes: Path) -> dict[str, set[int]]:
    """The statuses seen, by operation."""
    seen: dict[str, set[int]] = {}
    for file in notes.iterdir():
        for line in file.read_text().splitlines():
            name, status = line.split()
            seen.setdefault(name, set()).add(int(status))
    return seen


def verdict(operation: spec.Operation, statuses: Iterable[int]) -> str:
    """ "there", or what is missing."""
    granted = any(status < 400 for status in statuses)
    # Of some nothing can be refused that the specification would document: no parameter, no token.
    refused = any(400 <= status < 500 for status in statuses) or not operation.can_be_refused
    if granted:
        return "there" if refused else "no refusal seen"
    return "not seen granted" if any(status != 404 for status in statuses) else "not there"


def missing(known: spec.Spec, seen: Mapping[str, set[int]]) -> list[str]:
    """The operations of `WHOLE` that are not there and should be, and those that should not and are."""
    wrong = []
    for one in known.owned_by(WHOLE):
        found = verdict(one, seen.get(one.id, ()))
        wanted = "not there" if one.id in UNBUILT else "not seen granted" if one.id in REFUSED else "there"
        if found != wanted:
            wrong.append(f"{one.id}: {found}, and should be: {wanted}")
    return wrong


def page(known: spec.Spec, seen: Mapping[str, set[int]]) -> str:
    """The page's text."""
    services = sorted({operation.owner for operation in known.operations.values()})
    verdicts = {name: verdict(one, seen.get(name, ())) for name, one in known.operations.items()}
    lines = [_HEAD.rstrip("\n")]
    for service in services:
        owned = [verdicts[one.id] for one in known.owned_by(service)]
        lines.append(f"| {service} | {owned.count('there')} | {len(owned)} |")
    for service in services:
        lines += ["", f"## {service}", "", "| operation | | |", "| --- | --- | --- |"]
        for one in sorted(known.owned_by(service), key=lambda one: (one.path, one.method)):
            lines.append(f"| {one.id} | `{one.method} {one.path}` | {verdicts[one.id]} |")
    return "\n".join(lines) + "\n"


def differences(known: spec.Spec, notes: Path) -> list[str]:
    """The lines in which the page is not what the notes say."""
    made = page(known, read(notes)).splitlines()
    there = PAGE.read_text().splitlines() if PAGE.exists() else []
    return [f"+ {line}" for line in made if line not in there] + [
        f"- {line}" for line in there if line not in made
    ]


def main(arguments: list[str]) -> int:
    known = spec.find()
    if known is None:
        print("the specification is not here: nothing to compare with")
        return int(os.environ.get("PLEXUS_REQUIRE_ALL") == "1")
    notes = Path(arguments[0])
    wrong = missing(known, read(notes))
    if "--write" in arguments:
        PAGE.write_text(page(known, read(notes)))
    else:
        wrong += differences(known, notes)
    print("\n".join(wrong))
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
