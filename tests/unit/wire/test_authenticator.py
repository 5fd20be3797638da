"""`RequestAuthenticator` over several headers, and signing against it."""

from dataclasses import dataclass, replace

import pytest
from plexus.protocol.signatures import SigningKey
from plexus.wire import MemoryRemoteKeys, RemoteKey, RequestAuthenticator, RequestRefused, SignedRequest

HERE, THERE = "here.org", "there.org"
OLD, NEW = SigningKey("ed25519:old", bytes(32)), SigningKey("ed25519:new", bytes([7]) * 32)
NOW = 1_000_000


@dataclass
class SetClock:
    now: int = NOW

    def now_ms(self) -> int:
        return self.now


@dataclass
class OneKey:
    key: SigningKey

    def current(self) -> SigningKey:
        return self.key


def wire(
    name: str, key: SigningKey, known: MemoryRemoteKeys, clock: SetClock | None = None
) -> RequestAuthenticator:
    return RequestAuthenticator(
        server_name=name, clock=clock or SetClock(), own_keys=OneKey(key), remote_keys=known
    )


THEIRS = RemoteKey(THERE, NEW.verify_key, NOW + 100)
REQUEST = SignedRequest("PUT", "/_matrix/federation/v1/send/1", b'{"a":1}')


def header(key: SigningKey, origin: str = THERE) -> str:
    return wire(origin, key, MemoryRemoteKeys()).sign("PUT", REQUEST.uri, HERE, {"a": 1})


async def test_what_one_server_signs_the_other_believes_until_the_key_expires() -> None:
    clock = SetClock()
    here = wire(HERE, OLD, MemoryRemoteKeys([THEIRS]), clock)
    found = await here.authenticate(REQUEST, [header(NEW)])
    assert (found.origin, found.content) == (THERE, {"a": 1})
    clock.now = NOW + 101
    with pytest.raises(RequestRefused, match="expired"):
        await here.authenticate(REQUEST, [header(NEW)])


async def test_one_right_signature_among_several_is_enough() -> None:
    here = wire(HERE, OLD, MemoryRemoteKeys([THEIRS]))
    assert (await here.authenticate(REQUEST, ["Bearer x", header(OLD), header(NEW)])).origin == THERE


async def test_headers_of_two_servers_prove_neither() -> None:
    here = wire(HERE, OLD, MemoryRemoteKeys([THEIRS, replace(THEIRS, server_name="third.org")]))
    with pytest.raises(RequestRefused, match="different"):
        await here.authenticate(REQUEST, [header(NEW), header(NEW, "third.org")])


@pytest.mark.parametrize("headers", [[], ["Bearer x"], ["Basic YTpi"]])
async def test_an_unsigned_request_is_refused(headers: list[str]) -> None:
    with pytest.raises(RequestRefused, match="not signed"):
        await wire(HERE, OLD, MemoryRemoteKeys([THEIRS])).authenticate(REQUEST, headers)
