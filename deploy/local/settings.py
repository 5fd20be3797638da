"""The settings file of the cluster's processes: ``plexus.toml`` in the data folder, made at each start.

It stands where `plexus up` has its own, so that ``plexus user add NAME --data FOLDER`` finds the cluster.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

Values = Mapping[str, "str | int | float | bool | list[str] | Mapping[str, str]"]

HEAD = """\
# Made by `make cluster` at each start: changes are lost. Your own settings go into the environment
# (PLEXUS_REGISTRATION__MODE=open make cluster); docs/settings.md lists them all.

"""


def write_settings(path: Path, sections: Mapping[str, Values]) -> None:
    """The section "" comes first and has no heading. The file has secrets: only its owner may read it."""
    lines = [HEAD]
    for name, values in sections.items():
        if name and values:
            lines.append(f"\n[{name}]\n")
        lines += [f"{key} = {_toml(value)}\n" for key, value in values.items()]
    aside = path.with_suffix(".new")
    aside.touch(mode=0o600)
    aside.write_text("".join(lines), encoding="utf-8")
    aside.replace(path)


def _toml(value: object) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + "}"
    # JSON's strings, numbers, truth values and lists of strings are TOML's too.
    return json.dumps(value)
