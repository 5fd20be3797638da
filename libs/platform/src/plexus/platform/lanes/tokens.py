"""Sync tokens: opaque to clients, self-contained, and never an order of events.

Layout, before base64url without padding: a head that all users of a cut share (version, generation, positions
of the room lanes, of the user lanes), filled to a multiple of three bytes so that its text can be kept and
put in front of each user's own part (to-device sequence, ephemeral epoch and counter, checksum). Positions
are stored as varints above the least of their family: a few hundred characters for 80 lanes.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple
from zlib import crc32

from plexus.protocol.errors import InvalidParam

PREFIX = "s"
_VERSION = 1
_MAX_CHARACTERS = 4096
_MAX_LANES = 1024
_POS = re.compile(r"p(\d{1,19})\.(s[\w-]+)", re.ASCII)
_INBOX = re.compile(r"d(\d{1,19})\.(\d{1,19})|\d{1,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class SyncToken:
    """Where a client stands.

    ``rooms`` and ``users`` are the positions of the room and user lanes in ``generation``; ``to_device`` is
    the device's inbox sequence, moved only past what was delivered: a position of the user's lane, which
    counts only as far as ``users`` has it; ``epoch`` and ``counter`` belong to the ephemeral state (presence,
    typing) of one replica.
    """

    generation: int
    rooms: tuple[int, ...]
    users: tuple[int, ...]
    to_device: int = 0
    epoch: int = 0
    counter: int = 0

    def encode(self) -> str:
        head, head_sum = _encode_head(self.generation, self.rooms, self.users)
        own = bytearray()
        for value in (self.to_device, self.epoch, self.counter):
            _put(own, value)
        own += crc32(own, head_sum).to_bytes(4, "big")
        return head + urlsafe_b64encode(own).rstrip(b"=").decode()

    @staticmethod
    def decode(text: str) -> SyncToken:
        """`InvalidParam` if ``text`` is not a token that some Plexus has made."""
        if not text.startswith(PREFIX) or len(text) > _MAX_CHARACTERS or not text.isascii():
            raise InvalidParam("Unknown sync token")
        body = text[len(PREFIX) :]
        try:
            raw = urlsafe_b64decode(body + "=" * (-len(body) % 4))
            payload, checksum = raw[:-4], raw[-4:]
            # The decoder passes over foreign characters and spare bits: one token has one spelling.
            if urlsafe_b64encode(raw).rstrip(b"=").decode() != body:
                raise InvalidParam("Unknown sync token")
            if len(checksum) < 4 or crc32(payload).to_bytes(4, "big") != checksum or payload[0] != _VERSION:
                raise InvalidParam("Unknown sync token")
            reader = _Reader(payload, 1)
            generation = reader.take()
            rooms = reader.vector()
            users = reader.vector()
            reader.skip_filling()
            token = SyncToken(generation, rooms, users, reader.take(), reader.take(), reader.take())
            reader.end()
        except (ValueError, IndexError):
            raise InvalidParam("Unknown sync token") from None
        return token

    def at(self, *, to_device: int) -> SyncToken:
        return replace(self, to_device=to_device)


class InboxToken(NamedTuple):
    """Up to where the inbox of a device is delivered, for who has no sync token beside: sliding sync's
    ``to_device.since``. ``sequence`` is a position of the user's lane in ``generation``.
    """

    generation: int
    sequence: int

    def encode(self) -> str:
        return f"d{self.generation}.{self.sequence}"

    @staticmethod
    def decode(text: str) -> InboxToken:
        """`InvalidParam` if ``text`` is no such token. A bare number is of an older Plexus. It does not say
        of which generation it is, so nothing counts as delivered.
        """
        match = _INBOX.fullmatch(text)
        if match is None or (match[1] is not None and max(int(match[1]), int(match[2])) >= 1 << 63):
            raise InvalidParam("since of to_device is not a token of this server")
        return FROM_THE_FIRST if match[1] is None else InboxToken(int(match[1]), int(match[2]))


FROM_THE_FIRST = InboxToken(0, 0)
"""Nothing is delivered yet, in whatever generation."""


@lru_cache(maxsize=256)
def _encode_head(generation: int, rooms: tuple[int, ...], users: tuple[int, ...]) -> tuple[str, int]:
    # All held polls answered after one head change share this text.
    out = bytearray((_VERSION,))
    _put(out, generation)
    for vector in (rooms, users):
        _put(out, len(vector))
        if vector:
            least = min(vector)
            _put(out, least)
            out += b"".join([_varint(position - least) for position in vector])
    filling = -(len(out) + 1) % 3
    out.append(filling)
    out += bytes(filling)
    return PREFIX + urlsafe_b64encode(out).decode(), crc32(out)


def _put(out: bytearray, value: int) -> None:
    if value < 0:
        raise ValueError("positions are not negative")
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


@lru_cache(maxsize=4096)
def _varint(value: int) -> bytes:
    # Of many lanes one has moved since the last token.
    out = bytearray()
    _put(out, value)
    return bytes(out)


class _Reader:
    def __init__(self, data: bytes, offset: int) -> None:
        self._data = data
        self._offset = offset

    def take(self) -> int:
        value = shift = 0
        while True:
            byte = self._data[self._offset]
            self._offset += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if value >= 1 << 63:
                    raise ValueError("out of range")
                return value
            shift += 7
            if shift > 63:
                raise ValueError("out of range")

    def vector(self) -> tuple[int, ...]:
        count = self.take()
        if count > _MAX_LANES:
            raise ValueError("too many lanes")
        if not count:
            return ()
        least = self.take()
        return tuple(least + self.take() for _ in range(count))

    def skip_filling(self) -> None:
        self._offset += 1 + self._data[self._offset]

    def end(self) -> None:
        if self._offset != len(self._data):
            raise ValueError("bytes left over")


def encode_pos(state: int, token: str) -> str:
    """A place of a sliding-sync connection: the number of its state, and a sync token."""
    return f"p{state}.{token}"


def decode_pos(pos: str) -> tuple[int, str]:
    """`InvalidParam` if this is no such place; the sync token is not looked at."""
    match = _POS.fullmatch(pos)
    if match is None or int(match[1]) >= 1 << 63:
        raise InvalidParam("Unknown pos")
    return int(match[1]), match[2]
