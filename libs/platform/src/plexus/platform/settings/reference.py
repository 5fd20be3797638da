"""The page of all settings, made from their classes: ``docs/settings.md``.

``python -m plexus.platform.settings.reference`` prints it; a test compares the file with it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import annotated_types
from plexus.platform.settings.load import CONFIG_VARIABLE, variable
from plexus.platform.settings.root import Settings
from plexus.platform.settings.section import is_secret
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

_HEAD = f"""\
<!-- Made by `python -m plexus.platform.settings.reference`; do not edit. -->

# Settings

Each setting is a variable of the environment or a line of a TOML file that `{CONFIG_VARIABLE}` names; the
environment wins. In the file a section is a table: `PLEXUS_HTTP__MAX_BODY_BYTES=65536` is

```toml
[http]
max_body_bytes = 65536
```

- Lists in the environment: words with commas between, or JSON. Tables there are JSON.
- A secret can stand in a file: set the name with `_file` (`_FILE`) to its path.
- An unknown name or a bad value stops the start with a message that names it.
- A relative path is relative to the working folder.
"""


def page() -> str:
    """The page in Markdown."""
    return _HEAD + "".join(_section(Settings, (), "General", "")).rstrip() + "\n"


def _section(model: type[BaseModel], path: tuple[str, ...], title: str, about: str) -> Iterator[str]:
    own = []
    below = []
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel) and not _is_value(inner):
            below.append((name, inner))
        else:
            own.append((name, field))
    yield f"\n## {title}\n"
    if about:
        yield f"\n{about}\n"
    if own:
        yield "\n| setting | type | default | meaning |\n| --- | --- | --- | --- |\n"
        for name, field in own:
            yield from _rows((*path, name), field)
    for name, inner in below:
        child = (*path, name)
        yield from _section(inner, child, f"`[{'.'.join(child)}]`", _first_paragraph(inner))


def _is_value(model: type[BaseModel]) -> bool:
    """A small record shown on one line, such as a rate limit: all its members are required numbers."""
    return all(field.is_required() for field in model.model_fields.values())


def _rows(path: tuple[str, ...], field: FieldInfo) -> Iterator[str]:
    annotation = field.annotation
    description = (field.description or "").replace("``", "`").replace("|", "\\|")
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        for name, inner in annotation.model_fields.items():
            default = getattr(field.default, name)
            meaning = f"{description} {(inner.description or '')}"
            yield _row((*path, name), _type(inner), default, meaning)
        return
    meaning = description
    if is_secret(annotation):
        meaning += f" Secret: also `{path[-1]}_file`."
    yield _row(path, _type(field), field.default, meaning)


def _row(path: tuple[str, ...], kind: str, default: Any, meaning: str) -> str:
    names = f"`{'.'.join(path)}`<br>`{variable(path)}`"
    return f"| {names} | {kind} | {_default(default)} | {meaning} |\n"


def _default(value: Any) -> str:
    if value is None or value == [] or value == {}:
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, list):
        return f"`{', '.join(str(item) for item in value)}`"
    return f"`{value}`"


def _type(field: FieldInfo) -> str:
    return _named(field.annotation) + _bounds(field.metadata)


def _named(annotation: Any) -> str:
    origin = get_origin(annotation)
    arguments = get_args(annotation)
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin is list:
        return f"list of {_plural(arguments[0])}"
    if origin is dict:
        return "table"
    if origin in (Union, UnionType):
        kinds = [_named(argument) for argument in arguments if argument is not type(None)]
        return " or ".join(dict.fromkeys(kinds))
    if origin is not None:  # Annotated
        return _named(arguments[0])
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "table"
    names = {
        int: "integer",
        float: "number",
        bool: "true or false",
        str: "text",
        Path: "path",
        SecretStr: "secret",
    }
    return names.get(
        annotation, "network" if "Network" in getattr(annotation, "__name__", "") else str(annotation)
    )


def _plural(annotation: Any) -> str:
    name = _named(annotation)
    return {"text": "texts", "table": "tables", "network": "networks (`10.0.0.0/8`)"}.get(name, name)


def _bounds(metadata: list[Any]) -> str:
    parts = []
    for item in metadata:
        if isinstance(item, annotated_types.Ge):
            parts.append(f"≥ {item.ge}")
        elif isinstance(item, annotated_types.Gt):
            parts.append(f"> {item.gt}")
        elif isinstance(item, annotated_types.Le):
            parts.append(f"≤ {item.le}")
    return f", {', '.join(parts)}" if parts else ""


def _first_paragraph(model: type[BaseModel]) -> str:
    text = (model.__doc__ or "").strip().split("\n\n")[0]
    return " ".join(line.strip() for line in text.splitlines()).replace("``", "`")


if __name__ == "__main__":
    sys.stdout.write(page())
