"""The values of the content repository."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass

from plexus.protocol.errors import InvalidParam, MatrixError
from plexus.protocol.identifiers import check_server_name

# "mxc:// URIs": the server MUST NOT look for anything with other characters in it.
_MEDIA_ID = re.compile(r"[A-Za-z0-9_-]{1,255}")


@dataclass(frozen=True, slots=True)
class Label:
    """What the uploader says of the content."""

    content_type: str
    filename: str | None


@dataclass(frozen=True, slots=True)
class Stored:
    """Content that is there: its object's key and its size in bytes."""

    object: str
    size: int
    label: Label


@dataclass(frozen=True, slots=True)
class Item:
    """A media ID of this server; ``stored`` is None while it is only reserved, until ``expires_ts``."""

    media_id: str
    uploader: str
    expires_ts: int | None
    stored: Stored | None

    def awaits_content(self, now_ms: int) -> bool:
        """Whether content may still be put."""
        return self.expires_ts is not None and now_ms < self.expires_ts


class NotYetUploaded(MatrixError):  # noqa: N818 - as the tree of errors names them
    """504 M_NOT_YET_UPLOADED: the media ID is reserved, and its content has not come."""

    def __init__(self) -> None:
        super().__init__(504, "M_NOT_YET_UPLOADED", "Content has not yet been uploaded")


class CannotOverwrite(MatrixError):  # noqa: N818
    """409 M_CANNOT_OVERWRITE_MEDIA."""

    def __init__(self) -> None:
        super().__init__(409, "M_CANNOT_OVERWRITE_MEDIA", "Media already uploaded")


def check_mxc(server_name: str, media_id: str) -> None:
    """`InvalidParam` unless the two make an ``mxc://`` URI. "Matrix Content (``mxc://``) URIs"."""
    check_server_name(server_name)
    if _MEDIA_ID.fullmatch(media_id) is None:
        raise InvalidParam("Not a media ID")


def new_media_id() -> str:
    """24 random characters: knowing the ID is knowing where the content is, so it cannot be guessed."""
    return secrets.token_urlsafe(18)


def new_object_key() -> str:
    """A key of its own for every attempt, so that two uploads to one media ID never write to one object.

    Two levels of folders keep a local store's directories small.
    """
    name = secrets.token_hex(16)
    return f"local/{name[:2]}/{name[2:4]}/{name[4:]}"


OBJECT_PREFIX = "local"
