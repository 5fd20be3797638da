"""Links to users, rooms, aliases and events: ``matrix:`` URIs and ``https://matrix.to/#/`` ones.

`parse_uri` reads both, also what clients wrote before there was a rule (unencoded sigils and slashes, the old
type names); `matrix_uri` and `matrix_to` write them. A `Link` that was written is read as the same `Link`.

Appendices, "URIs".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import parse_qsl, quote, unquote, urlencode

from plexus.protocol.identifiers import (
    is_event_id,
    is_room_alias,
    is_room_id,
    is_server_name,
    is_user_id,
)

Action = Literal["join", "chat"]

MATRIX_TO: Final = "https://matrix.to/#/"
_SIGILS: Final = {"u": "@", "user": "@", "r": "#", "room": "#", "roomid": "!"}
_EVENTS: Final = frozenset(("e", "event"))
_TYPES: Final = {"@": "u", "#": "r", "!": "roomid"}
# What RFC 3986 lets stand in a path segment, beside what quote() leaves alone.
_SAFE: Final = "!$&'()*+,;=:@"


@dataclass(frozen=True, slots=True)
class Link:
    """``target`` is a user ID, room ID or alias; ``event_id`` an event in that room; ``via`` the servers to
    go through; ``action`` what to do there (``matrix:`` only).
    """

    target: str
    event_id: str | None = None
    via: tuple[str, ...] = ()
    action: Action | None = None


def parse_uri(uri: str) -> Link | None:
    """What the URI refers to; None if it is neither form or what it names is malformed."""
    if uri[: len("matrix:")].lower() == "matrix:":
        return _parse_matrix(uri[len("matrix:") :])
    if uri.startswith(MATRIX_TO):
        return _parse_matrix_to(uri[len(MATRIX_TO) :])
    return None


def matrix_uri(link: Link) -> str:
    """``matrix:u/alice:example.org?action=chat``"""
    uri = f"matrix:{_TYPES[link.target[0]]}/{_quoted(link.target[1:])}"
    if link.event_id is not None:
        uri += f"/e/{_quoted(link.event_id[1:])}"
    query = [("via", server) for server in link.via]
    if link.action is not None:
        query.append(("action", link.action))
    return uri + _query(query)


def matrix_to(link: Link) -> str:
    """``https://matrix.to/#/@alice:example.org``"""
    uri = MATRIX_TO + _quoted(link.target)
    if link.event_id is not None:
        uri += "/" + _quoted(link.event_id)
    return uri + _query([("via", server) for server in link.via])


def _parse_matrix(rest: str) -> Link | None:
    rest = rest.partition("#")[0]
    path, _, query = rest.partition("?")
    if path.startswith("//"):
        # An authority, which says nothing yet.
        path = path[2:].partition("/")[2]
    parts = path.split("/")
    if len(parts) not in (2, 4) or parts[0] not in _SIGILS:
        return None
    event_id = None
    if len(parts) == 4:
        if parts[2] not in _EVENTS:
            return None
        event_id = "$" + unquote(parts[3])
    return _link(_SIGILS[parts[0]] + unquote(parts[1]), event_id, query, with_action=True)


def _parse_matrix_to(rest: str) -> Link | None:
    path, _, query = rest.partition("?")
    target, slash, event_id = path.partition("/")
    # Decoded as one: the IDs of old events hold slashes that were not always encoded.
    return _link(unquote(target), unquote(event_id) if slash and event_id else None, query, with_action=False)


def _link(target: str, event_id: str | None, query: str, *, with_action: bool) -> Link | None:
    if event_id is not None and not (is_event_id(event_id) and target[:1] in ("!", "#")):
        return None
    if not (is_user_id(target) or is_room_id(target) or is_room_alias(target)):
        return None
    items = parse_qsl(query, keep_blank_values=True, max_num_fields=100) if query.count("&") < 100 else []
    via = tuple(value for name, value in items if name == "via" and is_server_name(value))
    asked = next((value for name, value in items if name == "action"), None) if with_action else None
    action: Action | None = None
    if asked == "join" and target[0] != "@":
        action = "join"
    elif asked == "chat" and target[0] == "@":
        action = "chat"
    return Link(target, event_id, via, action)


def _quoted(text: str) -> str:
    return quote(text, safe=_SAFE)


def _query(items: list[tuple[str, str]]) -> str:
    return "?" + urlencode(items, safe=":[]") if items else ""
