"""HTTP with nothing smoothed over: paths and bodies go out as given, every answer comes back as it is."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    content_type: str

    @property
    def json(self) -> Any:
        """The parsed body, None if it is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    @property
    def errcode(self) -> str | None:
        parsed = self.json
        return parsed.get("errcode") if isinstance(parsed, dict) else None

    def ok(self) -> Any:
        """The parsed body of a 2xx; anything else fails the test."""
        assert self.status // 100 == 2, f"{self.status} {self.body[:500]!r}"
        return self.json

    def __str__(self) -> str:
        return f"{self.status} {self.body[:300]!r}"


class Plain:
    """One kept connection; a request that finds it closed by the server is sent once more on a new one."""

    def __init__(self, base_url: str) -> None:
        self._host = urlsplit(base_url).netloc
        self._connection = http.client.HTTPConnection(self._host, timeout=60)

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        try:
            return self._once(method, path, body, headers or {})
        except (http.client.HTTPException, ConnectionError):
            self._connection.close()
            self._connection = http.client.HTTPConnection(self._host, timeout=60)
            return self._once(method, path, body, headers or {})

    def _once(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Answer:
        self._connection.request(method.upper(), path, body, headers)
        answer = self._connection.getresponse()
        return Answer(answer.status, answer.read(), answer.headers.get_content_type())

    def close(self) -> None:
        self._connection.close()
