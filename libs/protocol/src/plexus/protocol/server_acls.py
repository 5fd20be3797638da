"""May a server take part in a room? m.room.server_acl, compiled once for each content.

Names are compared without their port and without case. Plain names are one look-up and those with a leading
star, which is nearly all, one comparison of the end, so a list of some thousand costs microseconds; other
patterns go through `globs`, which never backtracks.

What is malformed is as if absent: without a list ``allow`` nobody may take part, entries that are no strings
match nothing, ``allow_ip_literals`` is true unless it is false.

Client-Server API, "m.room.server_acl"; Server-Server API, "Server Access Control Lists (ACLs)".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from plexus.protocol.globs import Glob, fold
from plexus.protocol.identifiers import is_ip_literal, is_server_name, split_server_name


class ServerAcl:
    """The content of the room's m.room.server_acl, or None if the room has none: then everybody may."""

    __slots__ = ("_allowed", "_denied", "_ip_literals", "_is_open")

    def __init__(self, content: Mapping[str, Any] | None) -> None:
        self._is_open = content is None
        listed = {} if content is None else content
        self._ip_literals = listed.get("allow_ip_literals") is not False
        self._denied = _Names(listed.get("deny"))
        self._allowed = _Names(listed.get("allow"))

    def allows(self, server_name: str) -> bool:
        """Whether this server may take part. What is no server name may not, unless there is no list."""
        if self._is_open:
            return True
        if not is_server_name(server_name):
            return False
        host, _ = split_server_name(server_name)
        if not self._ip_literals and is_ip_literal(host):
            return False
        name = fold(host)
        return not self._denied.have(name) and self._allowed.have(name)


class _Names:
    """A list of globs for host names."""

    __slots__ = ("_ends", "_globs", "_plain")

    def __init__(self, entries: object) -> None:
        given = (
            {fold(entry) for entry in entries if isinstance(entry, str)} if isinstance(entries, list) else ()
        )
        plain, ends, globs = set(), [], []
        for entry in sorted(given):
            if _is_plain(entry):
                plain.add(entry)
            elif entry[0] == "*" and _is_plain(entry[1:]):
                ends.append(entry[1:])
            else:
                globs.append(Glob(entry))
        self._plain = frozenset(plain)
        self._ends = tuple(ends)
        self._globs = tuple(globs)

    def have(self, name: str) -> bool:
        return (
            name in self._plain
            or name.endswith(self._ends)
            or any(glob.matches(name) for glob in self._globs)
        )


def _is_plain(entry: str) -> bool:
    return "*" not in entry and "?" not in entry


OPEN: Final = ServerAcl(None)
"""The rule of a room that has none."""
