"""What a cluster has besides PostgreSQL: Kafka, Redis, calls between services, leadership."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from plexus.platform.settings.http import InternalListener, Port
from plexus.platform.settings.section import Section
from pydantic import Field, SecretStr, model_validator

_ADDRESS = re.compile(r"https?://[^/\s?#@]+/?")


class KafkaSettings(Section):
    """What tells the other processes of a commit at once. Without it they find it by asking PostgreSQL."""

    bootstrap_servers: list[str] = Field(
        default=[], description="Brokers to begin with (``host:port``); empty: no Kafka, one process."
    )
    topic_prefix: str = Field(
        default="plexus",
        pattern=r"^[A-Za-z0-9._-]{1,200}$",
        description="The topics are ``<prefix>.rooms`` and ``<prefix>.users``.",
    )
    partitions: Annotated[int, Field(ge=1, le=256)] = Field(
        default=8, description="Of a topic that Plexus makes; a lane goes to partition lane mod partitions."
    )
    replication: Annotated[int, Field(ge=1)] = Field(
        default=1, description="Copies of a topic that Plexus makes; 3 in production."
    )
    retention_hours: Annotated[float, Field(gt=0)] = Field(
        default=1,
        description="How long a topic that Plexus makes keeps records. Nobody reads old ones; erased events "
        "are in them so long.",
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", description="How to connect."
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        default="SCRAM-SHA-512", description="How to log in, with a SASL protocol."
    )
    sasl_username: str | None = Field(default=None, description="User, with a SASL protocol.")
    sasl_password: SecretStr | None = Field(default=None, description="Password, with a SASL protocol.")
    ca_file: Path | None = Field(
        default=None, description="PEM file with the brokers' authorities; empty: the system's."
    )
    publish_buffer_mb: Annotated[int, Field(ge=1)] = Field(
        default=32,
        description="Facts held for a broker that does not take them; more are dropped, and found in "
        "PostgreSQL.",
    )


class RedisSettings(Section):
    """What replicas share for a moment: rate limits, marks of one's own writes, typing, presence, caches."""

    url: SecretStr | None = Field(
        default=None, description="``redis://`` or ``rediss://`` address; empty: memory of each process."
    )

    prefix: str = Field(
        default="plexus:", pattern=r"^[!-~]{0,100}$", description="Put before every key and channel."
    )
    timeout_ms: Annotated[int, Field(ge=10)] = Field(
        default=250, description="Longest wait for an answer; then it goes on without."
    )
    retry_seconds: Annotated[float, Field(gt=0)] = Field(
        default=1,
        description="How often Redis is tried after it has failed; while it answers, every fifth time.",
    )


class CallsListener(InternalListener):
    """Calls from the other services. Never reachable from outside."""

    enabled: bool = Field(default=False, description="Whether to listen at all.")
    port: Port = Field(default=8010, description="TCP port; 0 takes a free one.")


class CallsSettings(Section):
    """Calls from service to service: who may, and where they are."""

    listener: CallsListener = Field(default=CallsListener(), description="Where calls are answered.")
    addresses: dict[str, str] = Field(
        default={},
        description="Base address of each service, by its name: ``{federation = "
        '"http://plexus-federation:8010"}``.',
    )
    secret: SecretStr | None = Field(
        default=None,
        description="Shared by all services, at least 16 characters; sent with each call.",
    )
    certificate: Path | None = Field(
        default=None, description="PEM file: with it calls go over TLS, and both sides show a certificate."
    )
    private_key: Path | None = Field(default=None, description="PEM file with the key of the certificate.")
    ca_file: Path | None = Field(
        default=None, description="PEM file with the authority that both sides' certificates are of."
    )

    max_message_bytes: Annotated[int, Field(ge=65_536)] = Field(
        default=16_777_216, description="Largest request and largest answer of a call."
    )

    @model_validator(mode="after")
    def _guarded(self) -> CallsSettings:
        given = [self.certificate, self.private_key, self.ca_file]
        if any(given) and not all(given):
            raise ValueError("certificate, private_key and ca_file go together")
        if self.secret is not None and len(self.secret.get_secret_value()) < 16:
            raise ValueError("secret has fewer than 16 characters")
        if (self.listener.enabled or self.addresses) and self.secret is None and self.certificate is None:
            raise ValueError("calls need a secret, or certificate, private_key and ca_file")
        scheme = "http" if self.certificate is None else "https"
        for name, address in self.addresses.items():
            if not _ADDRESS.fullmatch(address):
                raise ValueError(f"addresses.{name} is no base address (http://host:port)")
            if not address.startswith(scheme + "://"):
                raise ValueError(
                    f"addresses.{name} must begin with {scheme}:// (over TLS if there is a certificate)"
                )
        return self


class LeadershipSettings(Section):
    """Which process runs a periodic job."""

    kind: Literal["database", "kubernetes"] = Field(
        default="database", description="A leased row in PostgreSQL, or a Lease of Kubernetes."
    )
    namespace: str | None = Field(
        default=None, description="Of the Leases; empty: the one that the pod runs in."
    )
    lease_prefix: str = Field(
        default="plexus-",
        pattern=r"^([a-z0-9][a-z0-9.-]{0,50})?$",
        description="Put before the names of Leases; different for two deployments in one namespace.",
    )
    kubeconfig: Path | None = Field(
        default=None, description="How to reach the API server; empty: as the pod's service account."
    )
