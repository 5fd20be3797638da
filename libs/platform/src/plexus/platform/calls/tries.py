"""What a call and its tries have in common, whoever sends them."""

from __future__ import annotations

from collections.abc import Mapping


class NotAnsweredError(Exception):
    """The call got no answer of the method. ``unsent``: it certainly has not run."""

    def __init__(self, why: str, *, unsent: bool) -> None:
        super().__init__(why)
        self.unsent = unsent


class OneCall:
    """What stays the same from try to try."""

    __slots__ = ("body", "headers", "name", "url")

    def __init__(self, name: str, url: str, body: bytes, headers: Mapping[str, str]) -> None:
        self.name = name
        self.url = url
        self.body = body
        self.headers = headers
