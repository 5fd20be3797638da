"""Groups as bytes, for fan-outs that leave the process: the messages of ``proto/plexus/proto/lanes/v1``."""

from __future__ import annotations

from google.protobuf.message import DecodeError
from plexus.platform.lanes.facts import Fact, Group
from plexus.platform.lanes.kinds import ROOM, USER
from plexus.proto.lanes.v1 import record_pb2 as proto

MOST_BYTES = 900_000
"""A record larger than this goes without the events' bodies: followers load them."""

_FAMILY = {ROOM: proto.FAMILY_ROOM, USER: proto.FAMILY_USER}
_FAMILY_OF = {number: family for family, number in _FAMILY.items()}


def encode_group(group: Group, *, most_bytes: int = MOST_BYTES) -> bytes:
    """The record of a group; without the largest bodies, if it would be too large with them."""
    message = proto.Group(
        generation=group.generation, family=_FAMILY[group.family], lane=group.lane, first_position=group.first
    )
    for fact in group.facts:
        message.facts.add(
            kind=fact.kind, subject=fact.subject, lo=fact.lo, hi=fact.hi, data=fact.data, body=fact.body
        )
    for largest in sorted(message.facts, key=lambda encoded: -len(encoded.body)):
        if message.ByteSize() <= most_bytes:
            break
        largest.ClearField("body")
    return message.SerializeToString()


def decode_group(record: bytes) -> Group:
    """`ValueError` if it is no record of a group."""
    try:
        message = proto.Group.FromString(record)
    except DecodeError as error:
        raise ValueError("not a record of a group") from error
    family = _FAMILY_OF.get(message.family)
    if family is None or not message.facts:
        raise ValueError("a record without facts or of an unknown family")
    return Group(
        message.generation,
        family,
        message.lane,
        tuple(
            Fact(
                position,
                fact.kind,
                fact.subject,
                fact.lo,
                fact.hi,
                fact.data,
                fact.body if fact.HasField("body") else None,
            )
            for position, fact in enumerate(message.facts, message.first_position)
        ),
    )
