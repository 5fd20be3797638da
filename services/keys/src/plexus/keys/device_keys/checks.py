"""What keys must look like before they are stored. Pure.

Signatures are for other clients to verify, who trust no server; here only their place and shape are checked,
so that nobody is handed something that cannot be read.

Client-Server API, "Key algorithms" and ``DeviceKeys``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plexus.protocol.canonical_json import contains_nul, encode
from plexus.protocol.errors import BadJson, InvalidParam, MissingParam
from plexus.users import OneTimeKey

MAX_NAME_BYTES = 255


def read_device_keys(keys: Mapping[str, Any], user_id: str, device_id: str) -> bytes:
    """The identity keys in canonical form, without what servers add.

    `InvalidParam` if they are for another user or device, `MissingParam` and `BadJson` for what they lack.
    """
    for member in ("user_id", "device_id", "algorithms", "keys", "signatures"):
        if member not in keys:
            raise MissingParam(f"device_keys.{member} is missing")
    if keys["user_id"] != user_id:
        raise InvalidParam("device_keys.user_id is not the user of this access token")
    if keys["device_id"] != device_id:
        raise InvalidParam("device_keys.device_id is not the device of this access token")
    algorithms = keys["algorithms"]
    if not isinstance(algorithms, list) or not all(isinstance(each, str) for each in algorithms):
        raise BadJson("device_keys.algorithms must be a list of strings")
    if not isinstance(keys["keys"], dict):
        raise BadJson("device_keys.keys must be an object")
    for key_id, key in keys["keys"].items():
        if not isinstance(key, str):
            raise BadJson(f"device_keys.keys: {key_id} must be a string")
        if _split(key_id)[1] != device_id:
            raise InvalidParam(f"device_keys.keys: {key_id} does not name this device")
    _check_signatures(keys["signatures"], "device_keys")
    return encode({name: value for name, value in keys.items() if name != "unsigned"})


def read_one_time_keys(keys: Mapping[str, Any], what: str) -> list[OneTimeKey]:
    """One-time or fallback keys by ``<algorithm>:<key id>``. `InvalidParam` and `BadJson`."""
    found = []
    for name, key in keys.items():
        algorithm, key_id = _split(name)
        if isinstance(key, dict):
            if not isinstance(key.get("key"), str):
                raise BadJson(f"{what}: {name} has no key")
            if "signatures" in key:
                _check_signatures(key["signatures"], f"{what}: {name}")
            elif algorithm.startswith("signed_"):
                raise BadJson(f"{what}: {name} is not signed")
        elif not isinstance(key, str) or algorithm.startswith("signed_"):
            raise BadJson(f"{what}: {name} must be an object")
        found.append(OneTimeKey(algorithm, key_id, encode(key)))
    return found


def read_fallback_keys(keys: Mapping[str, Any]) -> list[OneTimeKey]:
    """As `read_one_time_keys`; `InvalidParam` for two of one algorithm."""
    found = read_one_time_keys(keys, "fallback_keys")
    if len({key.algorithm for key in found}) != len(found):
        raise InvalidParam("fallback_keys: there can be one key of each algorithm")
    return found


def _split(name: str) -> tuple[str, str]:
    algorithm, _, key_id = name.partition(":")
    if not algorithm or not key_id or "\0" in name or len(name.encode("utf-8", "replace")) > MAX_NAME_BYTES:
        raise InvalidParam(f"{name[:300]!r} is not <algorithm>:<key id>")
    return algorithm, key_id


def _check_signatures(signatures: object, where: str) -> None:
    if not isinstance(signatures, dict) or contains_nul(signatures):
        raise BadJson(f"{where}: signatures must be an object")
    for by_user in signatures.values():
        if not isinstance(by_user, dict) or not all(isinstance(each, str) for each in by_user.values()):
            raise BadJson(f"{where}: signatures must be strings by user and key")
