"""EDUs of the types that the specification knows, as values.

`read_edu` takes one entry of a transaction's ``edus`` and the server that sent it. It raises `InvalidEdu`
for what has not the shape of its type, and where a server speaks for users that are not its own. An EDU of
another type is an `UnknownEdu`: servers pass over those.

Only shape is judged. Whether the user is in the room, and what a device's keys look like, is for others.

Server-Server API: "Typing Notifications", "Presence", "Receipts", "Device Management", "End-to-End
Encryption", "Send-to-device messaging".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

from plexus.protocol.canonical_json import check_depth
from plexus.protocol.errors import BadJson, InvalidEdu
from plexus.protocol.identifiers import MAX_ID_BYTES, is_event_id, is_room_id, parse_user_id
from plexus.protocol.validation import bytes_of

MAX_MESSAGE_ID = 32
"""Codepoints of a to-device message's ID."""

PRESENCE_STATES = frozenset(("offline", "unavailable", "online"))


@dataclass(frozen=True, slots=True)
class Typing:
    room_id: str
    user_id: str
    typing: bool


@dataclass(frozen=True, slots=True)
class Receipt:
    """An m.read receipt; ``thread_id`` is ``main``, a thread's root, or None for an unthreaded one."""

    room_id: str
    user_id: str
    event_id: str
    ts: int
    thread_id: str | None


@dataclass(frozen=True, slots=True)
class Receipts:
    receipts: tuple[Receipt, ...]


@dataclass(frozen=True, slots=True)
class UserPresence:
    """``last_active_ago`` in milliseconds before the EDU was made."""

    user_id: str
    presence: str
    last_active_ago: int | None
    status_msg: str | None
    currently_active: bool


@dataclass(frozen=True, slots=True)
class Presence:
    push: tuple[UserPresence, ...]


@dataclass(frozen=True, slots=True)
class DirectToDevice:
    """``messages`` maps users to devices (or ``*``) to contents."""

    sender: str
    type: str
    message_id: str
    messages: Mapping[str, Mapping[str, dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class DeviceListUpdate:
    user_id: str
    device_id: str
    stream_id: int
    prev_id: tuple[int, ...]
    deleted: bool
    device_display_name: str | None
    keys: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class SigningKeyUpdate:
    user_id: str
    master_key: dict[str, Any] | None
    self_signing_key: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class UnknownEdu:
    edu_type: str


Edu: TypeAlias = (
    Typing | Receipts | Presence | DirectToDevice | DeviceListUpdate | SigningKeyUpdate | UnknownEdu
)


def read_edu(value: object, origin: str) -> Edu:
    """The EDU that ``origin`` sent; `InvalidEdu` if it has not the shape of its type."""
    if not isinstance(value, dict):
        raise InvalidEdu("An EDU is a JSON object")
    try:
        check_depth(value)
    except BadJson as error:
        raise InvalidEdu(error.message) from None
    edu_type = value.get("edu_type")
    content = value.get("content")
    if not isinstance(edu_type, str):
        raise InvalidEdu("edu_type is not a string")
    if not isinstance(content, dict):
        raise InvalidEdu("content is not an object")
    reader = _READERS.get(edu_type)
    return UnknownEdu(edu_type) if reader is None else reader(content, origin)


def _typing(content: dict[str, Any], origin: str) -> Typing:
    return Typing(
        _room(content.get("room_id")), _own_user(content, "user_id", origin), _bool(content, "typing")
    )


def _receipts(content: dict[str, Any], origin: str) -> Receipts:
    return Receipts(
        tuple(
            receipt
            for room_id, by_type in content.items()
            for receipt in _room_receipts(_room(room_id), _is_object(by_type, room_id), origin)
        )
    )


def _room_receipts(room_id: str, by_type: dict[str, Any], origin: str) -> Iterator[Receipt]:
    # Receipts of other types, private ones above all, do not travel.
    for user_id, receipt in _is_object(by_type.get("m.read", {}), "m.read").items():
        entry = _is_object(receipt, user_id)
        event_ids, data = entry.get("event_ids"), _object(entry, "data")
        if not isinstance(event_ids, list) or len(event_ids) != 1 or not is_event_id(event_ids[0]):
            raise InvalidEdu("event_ids is not a list of one event ID")
        yield Receipt(
            room_id,
            _of_origin(user_id, origin),
            event_ids[0],
            _integer(data, "ts"),
            _optional_text(data, "thread_id"),
        )


def _presence(content: dict[str, Any], origin: str) -> Presence:
    push = content.get("push")
    if not isinstance(push, list):
        raise InvalidEdu("push is not a list")
    entries = [_is_object(entry, "push") for entry in push]
    # States that we do not know are passed over like EDUs that we do not know.
    known = [entry for entry in entries if _text(entry, "presence") in PRESENCE_STATES]
    return Presence(tuple(_user_presence(entry, origin) for entry in known))


def _user_presence(entry: dict[str, Any], origin: str) -> UserPresence:
    # Servers leave last_active_ago out for users of whom they know nothing, and send null for no status.
    return UserPresence(
        _own_user(entry, "user_id", origin),
        entry["presence"],
        _integer(entry, "last_active_ago") if "last_active_ago" in entry else None,
        _optional_text(entry, "status_msg", limit=None),
        _bool(entry, "currently_active") if "currently_active" in entry else False,
    )


def _direct_to_device(content: dict[str, Any], origin: str) -> DirectToDevice:
    message_id = _text(content, "message_id", limit=None)
    if len(message_id) > MAX_MESSAGE_ID:
        raise InvalidEdu(f"message_id is longer than {MAX_MESSAGE_ID} characters")
    messages = _object(content, "messages")
    for user_id, by_device in messages.items():
        if parse_user_id(user_id) is None:
            raise InvalidEdu("messages is not by user IDs")
        for device_id, message in _is_object(by_device, "messages").items():
            _storable(device_id, "A device ID")
            _is_object(message, "messages")
    return DirectToDevice(_own_user(content, "sender", origin), _text(content, "type"), message_id, messages)


def _device_list_update(content: dict[str, Any], origin: str) -> DeviceListUpdate:
    prev_id = content.get("prev_id") or []
    if not isinstance(prev_id, list) or not all(_is_integer(item) for item in prev_id):
        raise InvalidEdu("prev_id is not a list of integers")
    return DeviceListUpdate(
        _own_user(content, "user_id", origin),
        _text(content, "device_id"),
        _integer(content, "stream_id"),
        tuple(prev_id),
        _bool(content, "deleted") if content.get("deleted") is not None else False,
        _optional_text(content, "device_display_name", limit=None),
        _optional_object(content, "keys"),
    )


def _signing_key_update(content: dict[str, Any], origin: str) -> SigningKeyUpdate:
    return SigningKeyUpdate(
        _own_user(content, "user_id", origin),
        _optional_object(content, "master_key"),
        _optional_object(content, "self_signing_key"),
    )


_READERS: Mapping[str, Callable[[dict[str, Any], str], Edu]] = MappingProxyType(
    {
        "m.typing": _typing,
        "m.receipt": _receipts,
        "m.presence": _presence,
        "m.direct_to_device": _direct_to_device,
        "m.device_list_update": _device_list_update,
        "m.signing_key_update": _signing_key_update,
    }
)


def _of_origin(user_id: str, origin: str) -> str:
    parts = parse_user_id(user_id)
    if parts is None:
        raise InvalidEdu("Not a user ID")
    if parts[1] != origin:
        raise InvalidEdu(f"{user_id} is not a user of {origin}")
    return user_id


def _own_user(holder: dict[str, Any], key: str, origin: str) -> str:
    return _of_origin(_text(holder, key), origin)


def _room(room_id: object) -> str:
    if not isinstance(room_id, str) or not is_room_id(room_id):
        raise InvalidEdu("Not a room ID")
    return room_id


def _storable(text: str, what: str, limit: int | None = MAX_ID_BYTES) -> str:
    if limit is not None and bytes_of(text) > limit:
        raise InvalidEdu(f"{what} is longer than {limit} bytes")
    if "\0" in text:
        # PostgreSQL's text cannot store it.
        raise InvalidEdu(f"{what} holds U+0000")
    return text


def _text(holder: dict[str, Any], key: str, *, limit: int | None = MAX_ID_BYTES) -> str:
    value = holder.get(key)
    if not isinstance(value, str):
        raise InvalidEdu(f"{key} is not a string")
    return _storable(value, key, limit)


def _optional_text(holder: dict[str, Any], key: str, *, limit: int | None = MAX_ID_BYTES) -> str | None:
    return None if holder.get(key) is None else _text(holder, key, limit=limit)


def _bool(holder: dict[str, Any], key: str) -> bool:
    value = holder.get(key)
    if not isinstance(value, bool):
        raise InvalidEdu(f"{key} is not true or false")
    return value


def _is_integer(value: object) -> bool:
    # 64 bits: these are counters and times of other servers, not parts of events.
    return type(value) is int and -(2**63) <= value < 2**63


def _integer(holder: dict[str, Any], key: str) -> int:
    value: Any = holder.get(key)
    if not _is_integer(value):
        raise InvalidEdu(f"{key} is not an integer")
    number: int = value
    return number


def _is_object(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidEdu(f"{what} is not an object")
    return value


def _object(holder: dict[str, Any], key: str) -> dict[str, Any]:
    return _is_object(holder.get(key), key)


def _optional_object(holder: dict[str, Any], key: str) -> dict[str, Any] | None:
    return None if holder.get(key) is None else _object(holder, key)
