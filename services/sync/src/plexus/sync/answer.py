"""The response, spliced from the bytes that the streams have made.

A small one is joined and sent whole. One that grows beyond `CHUNK` bytes, as the initial sync of a large
account does, is sent while it is made: what has been sent is dropped, so memory holds one batch of rooms at a
time. A client that does not read is cut off by the connection (``http.stall_seconds``), and has gone then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import orjson
from plexus.platform.http import ClientGone, Send, send_json
from plexus.platform.peer import Peer
from plexus.sync.streams.context import Answer

CHUNK = 256 * 1024

_HEADERS = [(b"content-type", b"application/json")]


class Pieces:
    """Bytes that are on their way to a client."""

    __slots__ = ("_parts",)

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def add(self, *parts: bytes) -> None:
        self._parts += parts

    def take(self) -> bytes:
        """What has been spliced since the last time."""
        taken = b"".join(self._parts)
        self._parts.clear()
        return taken

    @property
    def size(self) -> int:
        return sum(map(len, self._parts))


class Response(Pieces):
    """Splices an `Answer` in this order: `open`, any number of `add_rooms`, `close`; then `send`."""

    __slots__ = ("_separator",)

    def __init__(self) -> None:
        super().__init__()
        self._separator = b""

    def open(self, answer: Answer) -> None:
        """All but the rooms."""
        self._parts += (b'{"next_batch":"', answer.next_batch.encode(), b'"', answer.key_counts)
        if answer.account_data:
            self._parts.append(b',"account_data":{"events":[%b]}' % b",".join(answer.account_data))
        if answer.presence:
            self._parts.append(b',"presence":{"events":[%b]}' % b",".join(answer.presence))
        if answer.messages:
            self._parts.append(b',"to_device":{"events":[%b]}' % b",".join(answer.messages))
        if answer.device_lists is not None:
            self._parts.append(b',"device_lists":%b' % answer.device_lists)
        self._parts.append(b',"rooms":{"join":{')

    def add_rooms(self, answer: Answer) -> None:
        """The joined rooms that have been made, each closed with its account data. They leave the answer."""
        for room_id, section in answer.joined.items():
            self._parts += (self._separator, orjson.dumps(room_id), b":", section)
            data = answer.room_account_data.pop(room_id, None)
            if data is not None:
                self._parts.append(b',"account_data":{"events":[%b]}' % b",".join(data))
            data = answer.ephemeral.pop(room_id, None)
            if data is not None:
                self._parts.append(b',"ephemeral":{"events":[%b]}' % b",".join(data))
            unread = answer.unread.pop(room_id, None)
            if unread is not None:
                self._parts += (b",", unread)
            self._parts.append(b"}")
            self._separator = b","
        answer.joined.clear()

    def close(self, answer: Answer) -> None:
        """The other rooms: those with nothing but account data, ephemeral events or counts, invites, knocks,
        rooms left.
        """
        self.add_rooms(answer)
        left = {
            room_id: _left(
                section,
                [*answer.room_account_data.pop(room_id, ()), *answer.left_account_data.pop(room_id, ())],
            )
            for room_id, section in answer.left.items()
        }
        # "Required if use_state_after was set to true [...], even if it is empty."
        nothing = [b'"%b":{"events":[]}' % key for key in answer.state_keys] if answer.state_after else []
        for room_id in {**answer.room_account_data, **answer.ephemeral, **answer.unread}:
            sections = nothing + [
                b'"%b":{"events":[%b]}' % (name, b",".join(data))
                for name, data in (
                    (b"account_data", answer.room_account_data.get(room_id)),
                    (b"ephemeral", answer.ephemeral.get(room_id)),
                )
                if data is not None
            ]
            if (unread := answer.unread.get(room_id)) is not None:
                sections.append(unread)
            self._parts += (self._separator, orjson.dumps(room_id), b":{", b",".join(sections), b"}")
            self._separator = b","
        self._parts.append(b"}")
        self._section(b"invite", answer.invited)
        self._section(b"knock", answer.knocked)
        self._section(b"leave", left)
        self._parts.append(b"}}")

    def _section(self, name: bytes, rooms: Mapping[str, bytes]) -> None:
        if rooms:
            inner = b",".join(
                b"%b:%b" % (orjson.dumps(room_id), section) for room_id, section in rooms.items()
            )
            self._parts.append(b',"%b":{%b}' % (name, inner))


def _left(section: bytes, data: Sequence[bytes]) -> bytes:
    """The section of a room that was left, closed with its account data."""
    return b'%b,"account_data":{"events":[%b]}}' % (section, b",".join(data)) if data else section + b"}"


class Outlet(Protocol):
    """Where a response goes. Both take what there is from it, or leave it for later."""

    async def progress(self, response: Pieces) -> None:
        """Is shown a response that grows. `ClientGone` if there is nobody who reads it."""

    async def finish(self, response: Pieces) -> None:
        """The response is whole."""


class Sender:
    """Sends a response whole, or in chunks once it is large, each after the one before it has been read.
    Nothing is sent before there is something to say that cannot be an error any more, so a fault in the first
    chunk is still answered as one.
    """

    __slots__ = ("_peer", "_send", "_started")

    def __init__(self, send: Send, peer: Peer) -> None:
        self._send = send
        self._peer = peer
        self._started = False

    async def progress(self, response: Pieces) -> None:
        if response.size >= CHUNK and not self._peer.gone:
            if not self._started:
                self._started = True
                await self._send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            await self._send({"type": "http.response.body", "body": response.take(), "more_body": True})
            await self._peer.taken()
        if self._peer.gone:
            raise ClientGone

    async def finish(self, response: Pieces) -> None:
        if self._started:
            await self._send({"type": "http.response.body", "body": response.take()})
        else:
            await send_json(self._send, 200, response.take())
