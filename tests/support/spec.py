"""The specification's OpenAPI files, if they are here: which operation a request is, and what its parts must
be.

They are looked for in the folder that ``MATRIX_SPEC`` names, else in ``../shared/spec``. `find` is None
without them; who needs them skips.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import orjson
import yaml

ROOT = Path(__file__).resolve().parents[2]
METHODS = ("get", "put", "post", "delete")
Schema = dict[str, Any]


class Violation(AssertionError):  # noqa: N818 - it fails a test, and is no fault of the program
    """A request that was answered with success, or an answer, is not what the specification says."""


_NOT_LET_IN = ("M_MISSING_TOKEN", "M_UNKNOWN_TOKEN", "M_USER_LOCKED")


@dataclass
class Operation:
    """One row of ``ENDPOINTS.md``. ``path`` is its whole template; ``owner`` the service that answers."""

    id: str
    method: str
    path: str
    owner: str = ""
    body: Schema | None = None
    body_required: bool = False
    needs_query: frozenset[str] = frozenset()
    """The query parameters without which it is not this operation."""
    query: frozenset[str] = frozenset()
    """All its query parameters."""
    answers: dict[int, Schema] = field(default_factory=dict)
    """The JSON schema of each documented status that has one."""
    can_be_refused: bool = True
    """Whether the specification knows a refusal: a 4xx, a token that may be wrong."""
    _validators: dict[object, Any] = field(default_factory=dict)

    def check_request(self, body: bytes) -> None:
        """`Violation` unless this body may be sent."""
        if self.body is None:
            return
        if not body:
            if self.body_required:
                raise Violation(f"{self.id}: the specification requires a body")
            return
        try:
            parsed = orjson.loads(body)
        except orjson.JSONDecodeError:
            raise Violation(f"{self.id}: the request is not JSON") from None
        self._check("the request", None, self.body, parsed)

    def check_answer(self, status: int, body: bytes) -> None:
        """`Violation` unless this JSON may be answered with this status."""
        schema = self.answers.get(status)
        if schema is None and not 400 <= status < 600:
            return
        answer = orjson.loads(body)
        if status == 401 and answer.get("errcode") in _NOT_LET_IN:
            # What any operation with a token may answer; where it has stages too, only their 401 is written.
            schema = None
        if schema is not None:
            self._check(f"the answer {status}", status, schema, answer)
        else:
            self._check(f"the answer {status}", "error", _ERROR, answer)

    def _check(self, what: str, key: object, schema: Schema, instance: Any) -> None:
        validator = self._validators.get(key)
        if validator is None:
            validator = self._validators[key] = jsonschema_rs.Draft202012Validator(schema)
        errors = [
            f"{'/'.join(map(str, error.instance_path)) or '.'}: {error.message}"
            for error in validator.iter_errors(instance)
        ]
        if errors:
            raise Violation(f"{self.id}: {what} is not what the specification says: {'; '.join(errors[:5])}")


_ERROR: Schema = {
    "type": "object",
    "required": ["errcode"],
    "properties": {"errcode": {"type": "string"}, "error": {"type": "string"}},
}


class Spec:
    """The operations of the client-server API."""

    def __init__(self, folder: Path) -> None:
        self.operations = {operation.id: operation for operation in _read(folder)}
        self._owners(folder / "ENDPOINTS.md")
        self._patterns: dict[tuple[str, int], list[tuple[re.Pattern[str], Operation]]] = {}
        # The more of a template is literal, the earlier it is tried.
        for one in sorted(self.operations.values(), key=lambda one: one.path.count("{")):
            pattern = re.compile(re.sub(r"\\\{[^/]*?\\\}", "[^/]*", re.escape(one.path)))
            self._patterns.setdefault((one.method, one.path.count("/")), []).append((pattern, one))

    def matching(self, method: str, path: str) -> list[Operation]:
        """The operations of a request: none, one, or the two that share a path and differ in their bodies.
        ``path`` as it was sent, percent-encoded.
        """
        bare = path.partition("?")[0]
        # Older clients say r0, which is the same to us; a slash too many at the end is taken for none.
        bare = re.sub(r"^/_matrix/client/(r0|unstable)/", "/_matrix/client/v3/", bare)
        for text in (bare, bare.rstrip("/")):
            found: list[Operation] = []
            for pattern, operation in self._patterns.get((method, text.count("/")), ()):
                if (not found or found[0].path == operation.path) and pattern.fullmatch(text):
                    found.append(operation)
            if found:
                given = {pair.partition("=")[0] for pair in path.partition("?")[2].split("&")}
                # Two operations may share a path, one of which needs a parameter that the other has not.
                fitting = [one for one in found if one.needs_query <= given] or found
                return sorted(fitting, key=lambda one: -len(one.needs_query))
        return []

    def owned_by(self, service: str) -> list[Operation]:
        return [one for one in self.operations.values() if one.owner == service]

    def _owners(self, table: Path) -> None:
        section = table.read_text().partition("## Client-Server API")[2].partition("\n## ")[0]
        for line in section.splitlines():
            cells = [cell.strip().strip("`") for cell in line.split("|")[1:-1]]
            if len(cells) > 3 and cells[2] in self.operations:
                self.operations[cells[2]].owner = cells[-1]


def folder() -> Path:
    return Path(os.environ.get("MATRIX_SPEC") or ROOT.parent / "shared" / "spec")


@cache
def find() -> Spec | None:
    """The specification; None if it is not here."""
    place = folder()
    return Spec(place) if (place / "ENDPOINTS.md").is_file() else None


def _read(place: Path) -> Iterator[Operation]:
    for path in sorted((place / "data" / "api" / "client-server").glob("*.yaml")):
        document = _load(path)
        base = document["servers"][0]["variables"]["basePath"]["default"]
        for template, item in document["paths"].items():
            for method in METHODS:
                if method in item:
                    yield _operation(method.upper(), base.rstrip("/") + template.strip(), item[method], path)


def _operation(method: str, path: str, given: Mapping[str, Any], file: Path) -> Operation:
    made = Operation(given["operationId"], method, path)
    parameters = _resolved(given.get("parameters", []), file)
    of_query = [one for one in parameters if one["in"] == "query"]
    made.query = frozenset(one["name"] for one in of_query)
    made.needs_query = frozenset(one["name"] for one in of_query if one.get("required"))
    body = _resolved(given.get("requestBody"), file)
    if body is not None and "application/json" in body.get("content", {}):
        made.body = body["content"]["application/json"].get("schema", {})
        made.body_required = bool(body.get("required"))
    answers = {int(status): _resolved(answer, file) for status, answer in given["responses"].items()}
    security = given.get("security", [])
    needs_token = bool(security) and {} not in security
    made.can_be_refused = needs_token or any(400 <= status < 500 for status in answers)
    for status, answer in answers.items():
        if "application/json" in answer.get("content", {}):
            made.answers[status] = answer["content"]["application/json"].get("schema", {})
    return made


@cache
def _load(path: Path) -> Any:
    with path.open() as file:
        return yaml.load(file, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def _resolved(value: Any, file: Path, within: tuple[tuple[Path, str], ...] = ()) -> Any:
    """``value`` with its references replaced by what they name; one that leads into itself allows all."""
    if isinstance(value, list):
        return [_resolved(item, file, within) for item in value]
    if not isinstance(value, dict):
        return value
    reference = value.get("$ref")
    if not isinstance(reference, str):
        return {
            key: _resolved(item, file, within)
            for key, item in value.items()
            if key not in ("example", "examples", "description")
            or isinstance(item, dict)  # a property of that name
        }
    name, _, pointer = reference.partition("#")
    target = (file.parent / name).resolve() if name else file
    if (target, pointer) in within:
        return {}
    found = _load(target)
    for part in pointer.strip("/").split("/") if pointer.strip("/") else ():
        found = found[part.replace("~1", "/").replace("~0", "~")]
    others = {key: item for key, item in value.items() if key != "$ref"}
    return _resolved(
        {**found, **others} if isinstance(found, dict) else found, target, (*within, (target, pointer))
    )
