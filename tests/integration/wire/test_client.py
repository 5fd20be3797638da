"""Requests to named addresses: where they may lead, and how much of an answer is taken."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_network
from pathlib import Path

import pytest
from plexus.platform.settings import OutboundSettings
from plexus.wire import AddressRefused, OutboundClient, RequestFailed
from plexus.wire.outbound import outbound

from tests.support.authority import Authority

pytestmark = pytest.mark.asyncio

LOOPBACK = ("127.0.0.0/8", "::1/128")
OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


@asynccontextmanager
async def serving(authority: Authority, answer: bytes, seen: list[bytes]) -> AsyncIterator[int]:
    """The port of a server that says the same to everybody, and then nothing more."""
    files = authority.issue("somebody")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files["certificate"], files["private_key"])

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            seen.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(answer)
            await writer.drain()
            await reader.read()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(converse, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@asynccontextmanager
async def client(authority: Authority | None, *allowed: str) -> AsyncIterator[OutboundClient]:
    settings = OutboundSettings(
        allowed_private_ranges=[ip_network(text) for text in allowed],
        extra_ca=None if authority is None else authority.file,
    )
    made = OutboundClient(outbound(settings))
    try:
        yield made
    finally:
        await made.close()


async def test_an_answer_of_any_status_is_an_answer(authority: Authority) -> None:
    answer = b"HTTP/1.1 418 no\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 3\r\n\r\ntea"
    seen: list[bytes] = []
    async with serving(authority, answer, seen) as port, client(authority, *LOOPBACK) as asking:
        headers = {"authorization": "Bearer x"}
        reply = await asking.request("POST", f"https://localhost:{port}/a?b=c", body=b"{}", headers=headers)
    assert (reply.status, reply.content_type, reply.body) == (418, "text/plain", b"tea")
    assert seen[0].startswith(b"POST /a?b=c HTTP/1.1")
    assert b"Bearer x" in seen[0]


async def test_it_is_not_led_on_and_what_is_compressed_stays_so(authority: Authority) -> None:
    answer = b"HTTP/1.1 302 there\r\nlocation: /there\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\n"
    seen: list[bytes] = []
    async with (
        serving(authority, answer + b"abcd", seen) as port,
        client(authority, *LOOPBACK) as asking,
    ):
        reply = await asking.request("GET", f"https://localhost:{port}/")
    assert (reply.status, reply.body, len(seen)) == (302, b"abcd", 1)


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1", "0177.0.0.1", "[::1]", "[::ffff:7f00:1]", "2130706433", "0x7f.1"]
)
async def test_a_private_address_is_not_connected_to_however_it_is_written(
    authority: Authority, host: str
) -> None:
    seen: list[bytes] = []
    async with serving(authority, OK, seen) as port, client(authority, "10.0.0.0/8") as asking:
        with pytest.raises(AddressRefused):
            await asking.request("GET", f"https://{host}:{port}/")
    assert seen == []


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost/",
        "ftp://localhost/",
        "//localhost/",
        "https:///x",
        "https://a:b@localhost/",
        "https://127。0。0。1/",
        "x",
    ],
)
async def test_what_is_no_https_address(url: str) -> None:
    async with client(None, *LOOPBACK) as asking:
        with pytest.raises(AddressRefused):
            await asking.request("GET", url)


async def test_an_answer_is_bounded_in_size_and_time(authority: Authority) -> None:
    seen: list[bytes] = []
    endless = OK + b"transfer-encoding: chunked\r\n\r\n" + b"400\r\n" + b"x" * 1024 + b"\r\n"
    async with serving(authority, endless, seen) as port, client(authority, *LOOPBACK) as asking:
        url = f"https://localhost:{port}/"
        with pytest.raises(RequestFailed, match="too much"):
            await asking.request("GET", url, most_bytes=1000)
        with pytest.raises(RequestFailed, match="in time"):
            await asking.request("GET", url, most_bytes=2000, timeout=0.3)


async def test_who_cannot_be_reached_or_is_not_who_they_say(authority: Authority) -> None:
    seen: list[bytes] = []
    async with serving(authority, OK, seen) as port:
        url = f"https://localhost:{port}/"
        async with client(None, *LOOPBACK) as asking:
            with pytest.raises(RequestFailed):
                await asking.request("GET", url)
    assert seen == []
    async with client(authority, *LOOPBACK) as asking:
        for gone in (url, "https://nobody.invalid/"):
            with pytest.raises(RequestFailed):
                await asking.request("GET", gone)
