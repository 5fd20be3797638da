"""plexus.protocol.edus: the examples of the specification, and what is not like them."""

from __future__ import annotations

from contextlib import suppress
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plexus.protocol.edus import (
    DeviceListUpdate,
    DirectToDevice,
    Edu,
    Presence,
    Receipt,
    Receipts,
    SigningKeyUpdate,
    Typing,
    UnknownEdu,
    UserPresence,
    read_edu,
)
from plexus.protocol.errors import InvalidEdu

KEYS = {"user_id": "@john:one", "usage": ["master"], "keys": {"ed25519:k": "k"}}
EXAMPLES: dict[str, tuple[dict[str, Any], Edu]] = {
    "m.typing": (
        {"room_id": "!somewhere:matrix.org", "user_id": "@john:one", "typing": True},
        Typing("!somewhere:matrix.org", "@john:one", True),
    ),
    "m.receipt": (
        {
            "!some_room:example.org": {
                "m.read": {
                    "@john:one": {
                        "event_ids": ["$read_this_event:matrix.org"],
                        "data": {"ts": 1533358089009, "thread_id": "main"},
                    }
                }
            }
        },
        Receipts(
            (
                Receipt(
                    "!some_room:example.org",
                    "@john:one",
                    "$read_this_event:matrix.org",
                    1533358089009,
                    "main",
                ),
            )
        ),
    ),
    "m.presence": (
        {
            "push": [
                {
                    "user_id": "@john:one",
                    "presence": "online",
                    "status_msg": "Making cupcakes",
                    "last_active_ago": 5000,
                    "currently_active": True,
                }
            ]
        },
        Presence((UserPresence("@john:one", "online", 5000, "Making cupcakes", True),)),
    ),
    "m.direct_to_device": (
        {
            "sender": "@john:one",
            "type": "m.room_key_request",
            "message_id": "hiezohf6Hoo7kaev",
            "messages": {"@alice:example.org": {"IWHQUZUIAH": {"algorithm": "a"}, "*": {}}},
        },
        DirectToDevice(
            "@john:one",
            "m.room_key_request",
            "hiezohf6Hoo7kaev",
            {"@alice:example.org": {"IWHQUZUIAH": {"algorithm": "a"}, "*": {}}},
        ),
    ),
    "m.device_list_update": (
        {
            "user_id": "@john:one",
            "device_id": "QBUAZIFURK",
            "device_display_name": "Mobile",
            "stream_id": 6,
            "prev_id": [5],
            "deleted": False,
            "keys": {"user_id": "@john:one"},
        },
        DeviceListUpdate("@john:one", "QBUAZIFURK", 6, (5,), False, "Mobile", {"user_id": "@john:one"}),
    ),
    "m.signing_key_update": (
        {"user_id": "@john:one", "master_key": KEYS, "self_signing_key": KEYS},
        SigningKeyUpdate("@john:one", KEYS, KEYS),
    ),
}


def read(edu_type: str, content: Any) -> Edu:
    return read_edu({"edu_type": edu_type, "content": content}, "one")


@pytest.mark.parametrize("edu_type", EXAMPLES)
def test_the_examples(edu_type: str) -> None:
    content, expected = EXAMPLES[edu_type]
    assert read(edu_type, content) == expected


@pytest.mark.parametrize("edu_type", EXAMPLES)
def test_a_server_speaks_for_its_own_users_only(edu_type: str) -> None:
    with pytest.raises(InvalidEdu, match="is not a user of two"):
        read_edu({"edu_type": edu_type, "content": EXAMPLES[edu_type][0]}, "two")


def changed(edu_type: str, **changes: Any) -> dict[str, Any]:
    content = deepcopy(EXAMPLES[edu_type][0])
    content.update(changes)
    return {key: value for key, value in content.items() if value is not ...}


@pytest.mark.parametrize(
    ("edu_type", "changes", "expected"),
    [
        ("m.device_list_update", {"prev_id": ..., "deleted": ..., "keys": ..., "device_display_name": None},
         DeviceListUpdate("@john:one", "QBUAZIFURK", 6, (), False, None, None)),
        ("m.device_list_update", {"stream_id": 2**63 - 1, "keys": None, "prev_id": None, "deleted": True},
         DeviceListUpdate("@john:one", "QBUAZIFURK", 2**63 - 1, (), True, "Mobile", None)),
        ("m.signing_key_update", {"master_key": ...}, SigningKeyUpdate("@john:one", None, KEYS)),
        ("m.presence", {"push": []}, Presence(())),
        ("m.presence", {"push": [{"user_id": "@john:one", "presence": "busy"}]}, Presence(())),
        ("m.presence", {"push": [{"user_id": "@john:one", "presence": "offline", "status_msg": None}]},
         Presence((UserPresence("@john:one", "offline", None, None, False),))),
        ("m.receipt", {"!some_room:example.org": {}}, Receipts(())),
        ("m.receipt", {"!some_room:example.org": {"m.read.private": {"@john:one": "secret"}}}, Receipts(())),
    ],
)  # fmt: skip
def test_what_may_be_left_out(edu_type: str, changes: dict[str, Any], expected: Edu) -> None:
    assert read(edu_type, changed(edu_type, **changes)) == expected


RECEIPT = EXAMPLES["m.receipt"][0]["!some_room:example.org"]["m.read"]["@john:one"]


@pytest.mark.parametrize(
    ("edu_type", "changes"),
    [
        ("m.typing", {"room_id": ...}),
        ("m.typing", {"room_id": "somewhere"}),
        ("m.typing", {"user_id": ...}),
        ("m.typing", {"user_id": "john"}),
        ("m.typing", {"typing": ...}),
        ("m.typing", {"typing": 1}),
        ("m.receipt", {"nowhere": {}}),
        ("m.receipt", {"!r:one": []}),
        ("m.receipt", {"!r:one": {"m.read": []}}),
        ("m.receipt", {"!r:one": {"m.read": {"john": RECEIPT}}}),
        ("m.receipt", {"!r:one": {"m.read": {"@john:one": []}}}),
        ("m.receipt", {"!r:one": {"m.read": {"@john:one": {**RECEIPT, "event_ids": []}}}}),
        ("m.receipt", {"!r:one": {"m.read": {"@john:one": {**RECEIPT, "event_ids": ["$a", "$b"]}}}}),
        ("m.receipt", {"!r:one": {"m.read": {"@john:one": {**RECEIPT, "event_ids": "$a"}}}}),
        ("m.receipt", {"!r:one": {"m.read": {"@john:one": {**RECEIPT, "data": {}}}}}),
        ("m.receipt", {"!r:one": {"m.read": {"@john:one": {**RECEIPT, "data": {"ts": 1.5}}}}}),
        ("m.receipt", {"!r:one": {"m.read": {"@john:one": {**RECEIPT, "data": {"ts": 1, "thread_id": 1}}}}}),
        ("m.presence", {"push": ...}),
        ("m.presence", {"push": {}}),
        ("m.presence", {"push": ["@john:one"]}),
        ("m.presence", {"push": [{"user_id": "@john:one"}]}),
        ("m.presence", {"push": [{"user_id": "@john:one", "presence": "online", "last_active_ago": "5"}]}),
        ("m.presence", {"push": [{"user_id": "@john:one", "presence": "online", "currently_active": 1}]}),
        ("m.presence", {"push": [{"presence": "online"}]}),
        ("m.direct_to_device", {"sender": ...}),
        ("m.direct_to_device", {"type": ...}),
        ("m.direct_to_device", {"type": "t" * 256}),
        ("m.direct_to_device", {"message_id": ...}),
        ("m.direct_to_device", {"message_id": "é" * 33}),
        ("m.direct_to_device", {"message_id": "\0"}),
        ("m.direct_to_device", {"messages": {"@alice:two": {"\0": {}}}}),
        ("m.device_list_update", {"device_display_name": "\0"}),
        ("m.direct_to_device", {"messages": ...}),
        ("m.direct_to_device", {"messages": {"alice": {}}}),
        ("m.direct_to_device", {"messages": {"@alice:two": []}}),
        ("m.direct_to_device", {"messages": {"@alice:two": {"D": "message"}}}),
        ("m.direct_to_device", {"messages": {"@alice:two": {"D" * 256: {}}}}),
        ("m.device_list_update", {"user_id": ...}),
        ("m.device_list_update", {"device_id": ...}),
        ("m.device_list_update", {"device_id": "D" * 256}),
        ("m.device_list_update", {"stream_id": ...}),
        ("m.device_list_update", {"stream_id": True}),
        ("m.device_list_update", {"stream_id": 2**63}),
        ("m.device_list_update", {"prev_id": [1.5]}),
        ("m.device_list_update", {"prev_id": 5}),
        ("m.device_list_update", {"deleted": "yes"}),
        ("m.device_list_update", {"keys": []}),
        ("m.signing_key_update", {"user_id": ...}),
        ("m.signing_key_update", {"master_key": "key"}),
        ("m.signing_key_update", {"self_signing_key": []}),
    ],
)  # fmt: skip
def test_what_is_not_like_them(edu_type: str, changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidEdu):
        read(edu_type, changed(edu_type, **changes))


def test_message_ids_are_counted_in_characters() -> None:
    edu = read("m.direct_to_device", changed("m.direct_to_device", message_id="é" * 32))
    assert isinstance(edu, DirectToDevice)


def test_other_types_are_passed_over() -> None:
    assert read("org.example.new", {"anything": [1.5]}) == UnknownEdu("org.example.new")


deep: Any = {}
for _ in range(200):
    deep = {"a": deep}


@pytest.mark.parametrize(
    "value",
    [None, [], "m.typing", {}, {"edu_type": "m.typing"}, {"content": {}}, {"edu_type": 1, "content": {}},
     {"edu_type": "m.typing", "content": []}, {"edu_type": "x", "content": deep}],
)  # fmt: skip
def test_what_is_no_edu(value: Any) -> None:
    with pytest.raises(InvalidEdu):
        read_edu(value, "one")


leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["@john:one", "!r:one", "$e", "m.read", "online", "", "é" * 200])
)
keys = st.sampled_from(
    [
        *{key for content, _ in EXAMPLES.values() for key in content},
        "@john:one",
        "!r:one",
        "m.read",
        "data",
        "event_ids",
        "ts",
        "presence",
    ]
)
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=6)
)


@given(st.sampled_from(list(EXAMPLES)), st.dictionaries(keys, values))
def test_whatever_comes_is_an_edu_or_a_fault(edu_type: str, content: dict[str, Any]) -> None:
    for mixed in (content, {**EXAMPLES[edu_type][0], **content}):
        with suppress(InvalidEdu):
            assert not isinstance(read(edu_type, mixed), UnknownEdu)
