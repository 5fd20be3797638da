"""What is said about content when it is served, and what is believed of it when it comes. Pure.

Client-Server API, "Content repository" and "Serving inline content".
"""

from __future__ import annotations

import re
from urllib.parse import quote

from plexus.media.models import Label
from plexus.platform.http.hot import Header
from plexus.protocol.errors import InvalidParam

DEFAULT_TYPE = "application/octet-stream"
MAX_FILENAME_BYTES = 1024

INLINE_TYPES = frozenset(
    (
        "text/css",
        "text/plain",
        "text/csv",
        "application/json",
        "application/ld+json",
        "image/jpeg",
        "image/gif",
        "image/png",
        "image/apng",
        "image/webp",
        "image/avif",
        "video/mp4",
        "video/webm",
        "video/ogg",
        "video/quicktime",
        "audio/mp4",
        "audio/webm",
        "audio/aac",
        "audio/mpeg",
        "audio/ogg",
        "audio/wave",
        "audio/wav",
        "audio/x-wav",
        "audio/x-pn-wav",
        "audio/flac",
        "audio/x-flac",
    )
)
"""The types that the spec holds unlikely to run anything; all others are attachments."""

_POLICY = b"; ".join(
    (
        b"sandbox",
        b"default-src 'none'",
        b"script-src 'none'",
        b"plugin-types application/pdf",
        b"style-src 'unsafe-inline'",
        b"object-src 'self';",
    )
)

SECURITY: tuple[Header, ...] = (
    (b"content-security-policy", _POLICY),
    (b"cross-origin-resource-policy", b"cross-origin"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    # Content never changes under its ID; but it is for who holds a token, so only for the client's own cache.
    (b"cache-control", b"private, max-age=86400, immutable"),
)

_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_MEDIA_TYPE = re.compile(rf"{_NAME}/{_NAME}(?:[ \t]*;[ \t]*{_NAME}=(?:{_NAME}|\"[ !#-\[\]-~]*\"))*")
_QUOTABLE = re.compile(r"[ !#-\[\]-~]+")


def label_of(content_type: bytes | None, filename: str | None) -> Label:
    """The label of an upload from its header and its query parameter.

    A type that is none is stored as bytes of no type; `InvalidParam` for a name that is too long to give
    back.
    """
    text = DEFAULT_TYPE if content_type is None else content_type.decode("latin-1").strip()
    if len(text) > 255 or _MEDIA_TYPE.fullmatch(text) is None:
        text = DEFAULT_TYPE
    if filename is not None and len(filename.encode("utf-8", "surrogatepass")) > MAX_FILENAME_BYTES:
        raise InvalidParam("The file name is too long")
    return Label(text, filename or None)


def disposition(label: Label) -> bytes:
    """``Content-Disposition``: inline only for harmless types, with the name as it was given (RFC 6266)."""
    media_type = label.content_type.partition(";")[0].strip().lower()
    kind = "inline" if media_type in INLINE_TYPES else "attachment"
    name = label.filename
    if name is None:
        return kind.encode()
    if _QUOTABLE.fullmatch(name):
        return f'{kind}; filename="{name}"'.encode()
    return f"{kind}; filename*=utf-8''{quote(name, safe='', errors='replace')}".encode()
