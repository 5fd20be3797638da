"""Reading the members of a filter: each reader checks one kind of member and names it in its error.

`BadJson` for a wrong type, `InvalidParam` for a wrong value, None if the member is absent or null.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from plexus.protocol.errors import BadJson, InvalidParam
from plexus.protocol.globs import pieces_match
from plexus.protocol.identifiers import is_room_id, is_user_id

MAX_ENTRIES = 1000
MAX_ENTRY_CHARS = 1000
"""In one list of a filter, and in one entry. Ours: a filter is kept and run for every event."""

Glob: TypeAlias = tuple[str, ...]
"""A pattern cut at its stars."""


def read_object(obj: object, where: str) -> dict[str, Any]:
    if not isinstance(obj, dict):
        raise BadJson(f"{where} must be an object")
    return obj


def read_list(data: Mapping[str, Any], key: str, where: str) -> list[str] | None:
    value = data.get(key)
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        raise BadJson(f"{where}.{key} must be a list of strings")
    if len(value) > MAX_ENTRIES:
        raise InvalidParam(f"{where}.{key} has more than {MAX_ENTRIES} entries")
    if any(len(entry) > MAX_ENTRY_CHARS for entry in value):
        raise InvalidParam(f"{where}.{key} has an entry of more than {MAX_ENTRY_CHARS} characters")
    return value


def read_texts(data: Mapping[str, Any], key: str, where: str) -> frozenset[str] | None:
    value = read_list(data, key, where)
    return None if value is None else frozenset(value)


def read_users(data: Mapping[str, Any], key: str, where: str) -> frozenset[str] | None:
    value = read_list(data, key, where)
    if value is not None and not all(is_user_id(entry) for entry in value):
        raise InvalidParam(f"{where}.{key} holds what is not a user ID")
    return None if value is None else frozenset(value)


def read_rooms(data: Mapping[str, Any], key: str, where: str) -> frozenset[str] | None:
    value = read_list(data, key, where)
    if value is not None and not all(is_room_id(entry) for entry in value):
        raise InvalidParam(f"{where}.{key} holds what is not a room ID")
    return None if value is None else frozenset(value)


def read_flag(data: Mapping[str, Any], key: str, where: str) -> bool | None:
    value = data.get(key)
    if value is not None and not isinstance(value, bool):
        raise BadJson(f"{where}.{key} must be true or false")
    return value


def read_limit(data: Mapping[str, Any], where: str) -> int | None:
    value = data.get("limit")
    if value is None:
        return None
    if type(value) is not int:
        raise BadJson(f"{where}.limit must be an integer")
    # "Must be an integer greater than 0": but clients ask for nothing by it, as of a timeline.
    if value < 0:
        raise InvalidParam(f"{where}.limit must not be negative")
    return value


def globs_of(types: frozenset[str] | None) -> tuple[Glob, ...]:
    """The entries with wildcards, each cut at its stars. Plain entries stay set look-ups."""
    return tuple(tuple(entry.split("*")) for entry in sorted(types or ()) if "*" in entry)


def any_glob_matches(globs: tuple[Glob, ...], type: str) -> bool:
    return any(pieces_match(glob, type) for glob in globs)
