"""A small Matrix client over aiohttp for the fault, fuzz and load tests: nothing in it hides a status."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import aiohttp

Json = dict[str, Any]


class MatrixError(Exception):
    """An answer other than 2xx: its status, and the body as parsed or as text."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(f"{status}: {body}")
        self.status = status
        self.errcode = body.get("errcode") if isinstance(body, dict) else None
        self.body = body


@dataclass
class Client:
    """One device's view of a server. `session` is shared and closed by who made it."""

    session: aiohttp.ClientSession
    base_url: str
    user_id: str = ""
    access_token: str = ""
    device_id: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    async def request(
        self, method: str, path: str, body: Any = None, *, query: Json | None = None, timeout: float = 60
    ) -> Json:
        """`path` starts after `/_matrix/`, its parts already quoted. Raises `MatrixError` unless 2xx."""
        headers = self.headers | (
            {"Authorization": f"Bearer {self.access_token}"} if self.access_token else {}
        )
        async with self.session.request(
            method,
            f"{self.base_url}/_matrix/{path}",
            json=body,
            headers=headers,
            params={key: str(value) for key, value in (query or {}).items() if value is not None},
            timeout=aiohttp.ClientTimeout(timeout),
        ) as answer:
            if answer.content_type == "application/json":
                parsed = await answer.json()
            else:
                parsed = await answer.text()
            if answer.status // 100 != 2:
                raise MatrixError(answer.status, parsed)
            return parsed  # type: ignore[no-any-return]

    async def register(self, name: str, password: str = "a long enough pass phrase") -> Client:
        auth = {"type": "m.login.dummy"}
        answer = await self.request(
            "POST", "client/v3/register", {"username": name, "password": password, "auth": auth}
        )
        self.user_id, self.access_token = answer["user_id"], answer["access_token"]
        self.device_id = answer["device_id"]
        return self

    async def create_room(self, **body: Any) -> str:
        return str((await self.request("POST", "client/v3/createRoom", body))["room_id"])

    async def join(self, room_id: str) -> None:
        await self.request("POST", f"client/v3/rooms/{quote(room_id, safe='')}/join", {})

    async def send(self, room_id: str, text: str, txn_id: str | None = None, *, timeout: float = 60) -> str:
        """Send an m.room.message; returns the event id."""
        path = (
            f"client/v3/rooms/{quote(room_id, safe='')}/send/m.room.message/{txn_id or secrets.token_hex(8)}"
        )
        content = {"msgtype": "m.text", "body": text}
        return str((await self.request("PUT", path, content, timeout=timeout))["event_id"])

    async def sync(self, since: str | None = None, *, timeout_ms: int = 0, **query: Any) -> Json:
        query |= {"since": since, "timeout": timeout_ms}
        return await self.request("GET", "client/v3/sync", query=query, timeout=timeout_ms / 1000 + 60)

    async def history(self, room_id: str, page: int = 100) -> list[Json]:
        """The whole timeline, newest first."""
        events: list[Json] = []
        start: str | None = None
        while True:
            path = f"client/v3/rooms/{quote(room_id, safe='')}/messages"
            answer = await self.request("GET", path, query={"dir": "b", "limit": page, "from": start})
            events += answer["chunk"]
            start = answer.get("end")
            if start is None:
                return events
