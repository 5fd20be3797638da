"""A small SMTP server in this event loop: keeps what it is sent. With TLS and a password if asked."""

from __future__ import annotations

import asyncio
import base64
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage


@dataclass
class Mailbox:
    """``refusing``: recipients are refused. ``password``: who does not log in with it is refused."""

    port: int = 0
    tls: ssl.SSLContext | None = None
    password: str | None = None
    refusing: bool = False
    emails: list[EmailMessage] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)

    def last(self, to: str) -> EmailMessage:
        email = self.emails[-1]
        assert email["To"] == to, (email["To"], to)
        return email

    def link(self, to: str) -> str:
        """The link in the last email, which went to ``to``."""
        link = re.search(r"https?://\S+", self.last(to).get_content())
        assert link is not None
        return link[0]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._converse(reader, writer)
        finally:
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def say(line: str) -> None:
            writer.write(f"{line}\r\n".encode())

        encrypted = known = False
        say("220 mailbox")
        while line := (await reader.readline()).decode().strip():
            verb = line.split(" ")[0].upper()
            if verb == "EHLO":
                say("250-mailbox")
                if self.tls is not None and not encrypted:
                    say("250-STARTTLS")
                say("250 AUTH PLAIN")
            elif verb == "STARTTLS" and self.tls is not None:
                say("220 go on")
                await writer.drain()
                await writer.start_tls(self.tls)
                encrypted = True
            elif verb == "AUTH":
                _, _, given = base64.b64decode(line.split(" ")[2]).decode().split("\0")
                known = given == self.password
                say("235 welcome" if known else "535 no")
            elif verb == "MAIL":
                say("250 ok" if known or self.password is None else "530 who are you")
            elif verb == "RCPT":
                say("550 no such user" if self.refusing else "250 ok")
            elif verb == "DATA":
                say("354 go on")
                text = (await reader.readuntil(b"\r\n.\r\n"))[:-3].replace(b"\r\n..", b"\r\n.")
                self.emails.append(message_from_bytes(text, policy=policy.default))
                self.encrypted.append(encrypted)
                say("250 kept")
            elif verb == "QUIT":
                say("221 bye")
                return
            else:
                say("250 ok" if verb in ("RSET", "NOOP", "HELO") else "502 what")


@asynccontextmanager
async def open_mailbox(
    *, tls: ssl.SSLContext | None = None, password: str | None = None
) -> AsyncIterator[Mailbox]:
    mailbox = Mailbox(tls=tls, password=password)
    server = await asyncio.start_server(mailbox._serve, "127.0.0.1", 0)
    mailbox.port = server.sockets[0].getsockname()[1]
    async with server:
        yield mailbox
