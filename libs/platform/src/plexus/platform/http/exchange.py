"""One request on its way through the gateway: what is added to its answer."""

from __future__ import annotations

from collections.abc import Awaitable

from plexus.platform.http.compression import Compression
from plexus.platform.http.hot import Header, Message, Scope, Send

CORS: tuple[Header, ...] = (
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-methods", b"GET, POST, PUT, DELETE, OPTIONS"),
    (b"access-control-allow-headers", b"X-Requested-With, Content-Type, Authorization"),
)
"""Client-Server API, "Web Browser Clients"."""

CLOSE: Header = (b"connection", b"close")


class Exchange:
    """Stands between the handler and the server's ``send``; ``status`` is 0 until the answer starts."""

    __slots__ = ("_compression", "_scope", "_send", "added", "status")

    def __init__(
        self, scope: Scope, send: Send, added: tuple[Header, ...], compression: Compression | None
    ) -> None:
        self._scope = scope
        self._send = send
        self._compression = compression
        self.added = added
        self.status = 0

    def send(self, message: Message) -> Awaitable[None]:
        # Not a coroutine: it returns the server's own, so that passing through costs no second one.
        if self.status == 0 and message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), *self.added]
            if self._compression is not None:
                encoder = self._compression.encoder(self._scope, message, self._send)
                if encoder is not None:
                    self._send = encoder.send
        return self._send(message)
