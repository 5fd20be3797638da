"""What clients are told of the server and of what stands beside it: contacts, TURN, transports of calls."""

from __future__ import annotations

import re
from typing import Annotated, Any

from plexus.platform.settings.section import Section
from plexus.protocol.identifiers import is_user_id
from pydantic import AfterValidator, Field, SecretStr, model_validator

_NAMESPACED = re.compile(r"[a-z][a-z0-9._-]{0,254}", re.ASCII)
"""Appendices, "Common Namespaced Identifier Grammar"."""


def _named_identifier(name: str) -> str:
    if not _NAMESPACED.fullmatch(name):
        raise ValueError(f"{name!r} is no namespaced identifier (small letters, digits, . _ -)")
    return name


def _own_keys(keys: dict[str, Any]) -> dict[str, Any]:
    for name in keys:
        _named_identifier(name)
        if name.startswith("m.") or "." not in name:
            raise ValueError(f"{name!r} must be named like a Java package, such as org.example.thing")
    return keys


def _transports(transports: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for transport in transports:
        if not isinstance(transport.get("type"), str):
            raise ValueError("every transport needs a type, which is text")  # noqa: TRY004 - pydantic's way
        _named_identifier(transport["type"])
    return transports


def _matrix_id(user_id: str | None) -> str | None:
    if user_id is not None and not is_user_id(user_id):
        raise ValueError("not a user ID")
    return user_id


class Contact(Section):
    """Somebody to turn to: a user ID, an email address, or both."""

    role: Annotated[str, AfterValidator(_named_identifier)] = Field(
        default="m.role.admin", description="``m.role.admin``, ``m.role.security``, or a name of your own."
    )
    matrix_id: Annotated[str | None, AfterValidator(_matrix_id)] = Field(
        default=None, description="A user ID, of this server or another."
    )
    email_address: str | None = Field(
        default=None, pattern=r"^[^@\s]+@[^@\s]+$", description="An email address."
    )

    @model_validator(mode="after")
    def _reachable(self) -> Contact:
        if self.matrix_id is None and self.email_address is None:
            raise ValueError("a contact needs a matrix_id or an email_address")
        return self


class DiscoverySettings(Section):
    """What ``/.well-known/matrix/...`` tells besides the server's address (``http.public_base_url``)."""

    serve_client: bool = Field(
        default=True,
        description="Whether ``/.well-known/matrix/client`` is answered here; false if by another server.",
    )
    identity_server: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s?#]+$",
        description="Address of the identity server that clients should use; empty: none is named.",
    )
    client: Annotated[dict[str, Any], AfterValidator(_own_keys)] = Field(
        default={},
        description="More keys of ``/.well-known/matrix/client``, named like a Java package.",
    )
    support_contacts: list[Contact] = Field(
        default=[],
        description="Who runs the server: ``role`` (``m.role.admin`` if not said), ``matrix_id``, "
        "``email_address``.",
    )
    support_page: str | None = Field(
        default=None, pattern=r"^https?://\S+$", description="A page with help for this server's users."
    )
    policy_server_key: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9+/_-]{43}$",
        description="Public ed25519 key (unpadded base64) of the policy server that has this server's name.",
    )


class TurnSettings(Section):
    """A TURN server for calls between two. It shares a secret with Plexus (coturn: ``use-auth-secret``)."""

    uris: list[Annotated[str, Field(pattern=r"^turns?:\S+$")]] = Field(
        default=[],
        description="Its addresses, such as ``turn:turn.example.org?transport=udp``; empty: there is none.",
    )
    shared_secret: SecretStr | None = Field(
        default=None, description="The secret (coturn: ``static-auth-secret``)."
    )
    ttl_seconds: Annotated[int, Field(ge=60)] = Field(
        default=86_400, description="Life of the credentials that a client gets."
    )

    @model_validator(mode="after")
    def _complete(self) -> TurnSettings:
        if self.uris and self.shared_secret is None:
            raise ValueError("turn.uris needs turn.shared_secret")
        return self


class RtcSettings(Section):
    """Infrastructure for calls of many (MatrixRTC)."""

    transports: Annotated[list[dict[str, Any]], AfterValidator(_transports)] = Field(
        default=[],
        description="What ``/rtc/transports`` lists, the best first: each has a ``type`` and what the "
        "transport wants, such as ``livekit_service_url``.",
    )
