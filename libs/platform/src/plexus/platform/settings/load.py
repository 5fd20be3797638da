"""Reading the settings: environment over file over defaults, and every mistake by its name."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args, get_origin

import orjson
from plexus.platform.settings.root import ENV_PREFIX, Settings
from plexus.platform.settings.section import is_secret
from pydantic import BaseModel, ValidationError

CONFIG_VARIABLE = "PLEXUS_CONFIG"
"""Names the TOML file."""

_NOT_OURS = re.compile(
    # Kubernetes puts these into every pod beside a Service named "plexus" or "plexus-...".
    r"PLEXUS_(?:\w+?_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT(?:_\d+_(?:TCP|UDP)(?:_(?:PROTO|PORT|ADDR))?)?)"
    # And these belong to our tests.
    r"|PLEXUS_TEST_\w+|PLEXUS_REQUIRE_ALL|PLEXUS_FUZZ_\w+"
)


class SettingsError(Exception):
    """One or several settings are wrong; ``problems`` has a sentence for each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("The settings are wrong:\n" + "\n".join(f"  - {problem}" for problem in problems))
        self.problems = problems


def load_settings(
    config: Path | None = None,
    *,
    env: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Settings:
    """The settings of this process; `SettingsError` names everything that is wrong.

    ``config`` is a TOML file (default: what ``PLEXUS_CONFIG`` names, or none), ``env`` the environment,
    ``overrides`` what the command line says, nested like the file; it wins over both.
    """
    environment = os.environ if env is None else env
    if config is None and environment.get(CONFIG_VARIABLE):
        config = Path(environment[CONFIG_VARIABLE])
    problems: list[str] = []
    values: dict[str, Any] = _read_file(config) if config is not None else {}
    _merge(values, _read_environment(environment, problems))
    _merge(values, overrides or {})
    if problems:
        raise SettingsError(problems)
    try:
        return Settings(**values)
    except ValidationError as error:
        raise SettingsError([_describe(item) for item in error.errors(include_url=False)]) from None


def names() -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every setting: its path and its type. Secrets come once more with ``_file``."""
    yield from _walk(Settings, ())


def variable(path: tuple[str, ...]) -> str:
    """The environment variable of a setting."""
    return ENV_PREFIX + "__".join(path).upper()


def _walk(model: type[BaseModel], prefix: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, field in model.model_fields.items():
        path = (*prefix, name)
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from _walk(annotation, path)
            continue
        yield path, annotation
        if is_secret(annotation):
            yield (*prefix, f"{name}_file"), Path


def _read_file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError([f"The settings file {path} cannot be read: {error}"]) from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError([f"The settings file {path} is not TOML: {error}"]) from None


def _read_environment(environment: Mapping[str, str], problems: list[str]) -> dict[str, Any]:
    known = {variable(path): (path, annotation) for path, annotation in names()}
    values: dict[str, Any] = {}
    for name, text in environment.items():
        if not name.upper().startswith(ENV_PREFIX) or name == CONFIG_VARIABLE:
            continue
        if name not in known:
            if _NOT_OURS.fullmatch(name) and "__" not in name:
                continue
            problems.append(f"{name}: there is no such setting{_suggest(name, known)}")
            continue
        path, annotation = known[name]
        node = values
        for part in path[:-1]:
            node = node.setdefault(part, {})
        node[path[-1]] = _parse(text, annotation)
    return values


def _parse(text: str, annotation: Any) -> Any:
    if get_origin(annotation) is list:
        # A list is JSON, or words with commas between them.
        if text.lstrip().startswith("["):
            try:
                return orjson.loads(text)
            except orjson.JSONDecodeError:
                return text
        return [word.strip() for word in text.split(",") if word.strip()]
    if get_origin(annotation) is dict:
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            return text
    if text == "" and type(None) in get_args(annotation):
        return None
    return text


def _suggest(name: str, known: Mapping[str, Any]) -> str:
    close = get_close_matches(name.upper(), known, n=1, cutoff=0.75)
    return f"; did you mean {close[0]}?" if close else ""


def _merge(into: dict[str, Any], values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if isinstance(value, Mapping) and isinstance(into.get(name), dict):
            _merge(into[name], value)
        else:
            into[name] = dict(value) if isinstance(value, Mapping) else value


def _describe(error: Any) -> str:
    # pydantic adds list indexes and the members of unions to the path; the setting is what we know of it.
    known = {path for path, _ in names()} | {
        path[:length] for path, _ in names() for length in range(len(path))
    }
    path = tuple(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"{'.'.join(path)}: there is no such setting"
    while path not in known:
        path = path[:-1]
    message = error["msg"].removeprefix("Value error, ")
    # The value itself is left out: it may be a secret put under the wrong name.
    return f"{'.'.join(path) or 'settings'} ({variable(path)}): {message}"
