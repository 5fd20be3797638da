"""How Plexus is reached, how it reaches others, and with which keys."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any

from plexus.platform.settings.section import Section
from pydantic import BeforeValidator, Field, SecretStr, model_validator

Port = Annotated[int, Field(ge=0, le=65535)]


def _network(value: Any) -> Any:
    # Text only: ip_network would also take integers.
    return ip_network(value) if isinstance(value, str) else value


Network = Annotated[IPv4Network | IPv6Network, BeforeValidator(_network)]


class Listener(Section):
    """One port on one or several addresses. Port 0 takes a free one."""

    enabled: bool = Field(default=True, description="Whether to listen at all.")
    addresses: list[str] = Field(
        default=["127.0.0.1"], description="IP addresses to listen on.", min_length=1
    )
    port: Port = Field(default=8008, description="TCP port; 0 takes a free one.")


class InternalListener(Listener):
    """Health, metrics and API descriptions. Not for the public."""

    port: Port = Field(default=8009, description="TCP port; 0 takes a free one.")


class FederationListener(Listener):
    """HTTPS for other servers. Certificate and key are read again when the files change."""

    enabled: bool = Field(default=False, description="Whether to listen at all.")
    port: Port = Field(default=8448, description="TCP port; 0 takes a free one.")
    certificate: Path | None = Field(default=None, description="PEM file with the certificate and its chain.")
    private_key: Path | None = Field(default=None, description="PEM file with the private key.")
    private_key_password: SecretStr | None = Field(
        default=None, description="Password of the private key, if it has one."
    )

    @model_validator(mode="after")
    def _has_certificate(self) -> FederationListener:
        if self.enabled and (self.certificate is None or self.private_key is None):
            raise ValueError("an enabled federation listener needs certificate and private_key")
        return self


class ListenersSettings(Section):
    """Where Plexus listens."""

    client: Listener = Field(
        default=Listener(), description="Plain HTTP for clients, and for servers behind a TLS proxy."
    )
    federation: FederationListener = Field(default=FederationListener(), description="HTTPS for servers.")
    internal: InternalListener = Field(
        default=InternalListener(), description="Health, metrics, API descriptions."
    )


class HttpSettings(Section):
    """What requests may be, and whom to believe where they come from."""

    public_base_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^/\s?#]+(/[^\s?#]*)?$",
        description="The address clients use, given out by ``/.well-known/matrix/client``; empty: "
        "``https://<server_name>``.",
    )
    trusted_proxies: list[Network] = Field(
        default=[],
        description="Networks whose ``X-Forwarded-For``, ``X-Forwarded-Proto``, ``X-Request-Id`` and "
        "``traceparent`` are believed. Without your reverse proxy in it, all clients share its address.",
    )
    forwarded_header: bool = Field(
        default=False, description="Read the standard ``Forwarded`` header instead of ``X-Forwarded-For``."
    )
    max_body_bytes: Annotated[int, Field(ge=65_536)] = Field(
        default=1_048_576, description="Largest JSON body; larger ones get ``M_TOO_LARGE``."
    )
    max_url_bytes: Annotated[int, Field(ge=2_048, le=65_000)] = Field(
        default=16_384, description="Longest path with query; longer ones get 414."
    )
    max_head_bytes: Annotated[int, Field(ge=4_096)] = Field(
        default=65_536, description="Largest request line with headers; larger ones end the connection."
    )
    head_timeout_seconds: Annotated[float, Field(gt=0)] = Field(
        default=15, description="How long a client may take to send its request line and headers."
    )
    body_timeout_seconds: Annotated[float, Field(gt=0)] = Field(
        default=60, description="How long a client may pause in sending a body."
    )
    stall_seconds: Annotated[float, Field(gt=0)] = Field(
        default=30,
        description="How long a client may take to read 256 kB of what waits for it, or all of it if that is "
        "less; then it is cut off.",
    )
    unread_mb: Annotated[int, Field(ge=1)] = Field(
        default=256,
        description="Memory for answers that the clients of a listener have not read; beyond it who has left "
        "theirs unread for longest is cut off.",
    )
    keep_alive_seconds: Annotated[int, Field(ge=1)] = Field(
        default=75,
        description="How long an idle connection is kept; longer than the proxy in front keeps it.",
    )
    compress_from_bytes: Annotated[int, Field(ge=0)] = Field(
        default=8_192,
        description="Answers of JSON or text from this size on go gzipped to clients that take it; 0: none.",
    )
    max_connections: Annotated[int, Field(ge=1)] = Field(
        default=20_000, description="Connections for a listener at a time; more are answered 503."
    )


class OutboundSettings(Section):
    """Requests to other servers, identity servers, push gateways and previewed pages."""

    allowed_private_ranges: list[Network] = Field(
        default=[],
        description="Private, loopback and link-local networks that may be reached; all others are refused.",
    )
    extra_ca: Path | None = Field(
        default=None, description="PEM file with certificate authorities to trust besides the system's."
    )


class SigningSettings(Section):
    """The keys that sign events and federation requests."""

    key_file: Path | None = Field(
        default=None,
        description="Key file, one ``ed25519 <version> <seed>`` a line, the first in use; read again when it "
        "changes. Empty: ``<data_dir>/signing.key``, made at the first embedded start.",
    )
    old_keys_file: Path | None = Field(
        default=None,
        description="Keys no longer in use, one ``ed25519 <version> <expired_ts> <public key>`` a line. "
        "Empty: ``<data_dir>/signing-old.keys``.",
    )
    reload_seconds: Annotated[float, Field(gt=0)] = Field(
        default=5, description="How often key and certificate files are looked at for a change."
    )
