"""What the end-to-end tests have asked and been answered, held against the specification's schemas.

`AsgiClient` hands each exchange to `recorder`. Where the specification is not here nothing is checked. With
``TEST_RECORD=folder`` each process notes there which operations it has seen with which status; from these
notes `tests/coverage.py` makes ``docs/coverage.md``.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from tests.support import spec

VARIABLE = "TEST_RECORD"


class Recorder:
    def __init__(self, known: spec.Spec, folder: Path | None) -> None:
        self._spec = known
        self._notes = None if folder is None else folder / str(os.getpid())
        self._seen: set[tuple[str, int]] = set()

    def take(
        self, method: str, path: str, sent: bytes | None, status: int, content_type: str, body: bytes
    ) -> None:
        """One exchange; ``sent`` is None for a body that is not to be judged. Raises `spec.Violation`.

        What was refused may have been anything; what was granted must have been as the specification says.
        """
        candidates = self._spec.matching(method, path)
        if not candidates:
            return
        operation = candidates[0]
        if sent is not None and (status < 300 or len(candidates) > 1):
            for operation in candidates:
                try:
                    operation.check_request(sent)
                    break
                except spec.Violation:
                    if operation is candidates[-1] and status < 300:
                        raise
        if content_type.startswith("application/json"):
            operation.check_answer(status, body)
        self._note(operation.id, status)

    def _note(self, name: str, status: int) -> None:
        if (name, status) not in self._seen:
            self._seen.add((name, status))
            if self._notes is not None:
                with self._notes.open("a") as file:
                    file.write(f"{name} {status}\n")


@cache
def recorder() -> Recorder | None:
    """The recorder of this process; None without the specification."""
    known = spec.find()
    folder = os.environ.get(VARIABLE)
    return None if known is None else Recorder(known, Path(folder) if folder else None)
