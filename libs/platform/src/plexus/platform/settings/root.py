"""All settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from plexus.platform.settings.cluster import (
    CallsSettings,
    KafkaSettings,
    LeadershipSettings,
    RedisSettings,
)
from plexus.platform.settings.database import DatabaseSettings, FactSettings
from plexus.platform.settings.discovery import DiscoverySettings, RtcSettings, TurnSettings
from plexus.platform.settings.http import (
    HttpSettings,
    ListenersSettings,
    OutboundSettings,
    SigningSettings,
)
from plexus.platform.settings.operation import MemorySettings, ShutdownSettings, TelemetrySettings
from plexus.platform.settings.section import Section
from plexus.platform.settings.users import (
    AccountDataSettings,
    DelayedEventSettings,
    EmailSettings,
    IdentitySettings,
    MediaSettings,
    PasswordSettings,
    PresenceSettings,
    PushSettings,
    RateLimits,
    RegistrationSettings,
    RoomSettings,
    ServerNoticeSettings,
    SessionSettings,
    SyncSettings,
    UserDirectorySettings,
)
from plexus.protocol.identifiers import is_server_name
from pydantic import AfterValidator, Field, model_validator

ENV_PREFIX = "PLEXUS_"


def _server_name(name: str) -> str:
    if not is_server_name(name):
        raise ValueError("not a server name (a host name with an optional port)")
    return name


class Settings(Section):
    """Made by `load_settings`; in tests by its constructor, which reads only its arguments."""

    server_name: Annotated[str, AfterValidator(_server_name)] = Field(
        default="localhost",
        description="The part of user IDs after the colon. Chosen once: it can never be changed.",
    )
    data_dir: Path = Field(
        default=Path("data"), description="The folder with all state: embedded database, media, keys."
    )
    listeners: ListenersSettings = Field(default=ListenersSettings(), description="Where Plexus listens.")
    http: HttpSettings = Field(default=HttpSettings(), description="Requests and proxies.")
    outbound: OutboundSettings = Field(default=OutboundSettings(), description="Requests to others.")
    signing: SigningSettings = Field(default=SigningSettings(), description="Signing keys.")
    database: DatabaseSettings = Field(default=DatabaseSettings(), description="PostgreSQL.")
    facts: FactSettings = Field(default=FactSettings(), description="The log of changes.")
    kafka: KafkaSettings = Field(default=KafkaSettings(), description="Kafka.")
    redis: RedisSettings = Field(default=RedisSettings(), description="Redis.")
    calls: CallsSettings = Field(default=CallsSettings(), description="Calls between services.")
    leadership: LeadershipSettings = Field(default=LeadershipSettings(), description="Leadership.")
    registration: RegistrationSettings = Field(default=RegistrationSettings(), description="New accounts.")
    passwords: PasswordSettings = Field(default=PasswordSettings(), description="Passwords.")
    email: EmailSettings = Field(default=EmailSettings(), description="Emails.")
    identity: IdentitySettings = Field(default=IdentitySettings(), description="Identity servers.")
    sessions: SessionSettings = Field(default=SessionSettings(), description="Tokens and devices.")
    account_data: AccountDataSettings = Field(default=AccountDataSettings(), description="Account data.")
    rooms: RoomSettings = Field(default=RoomSettings(), description="Rooms.")
    server_notices: ServerNoticeSettings = Field(
        default=ServerNoticeSettings(), description="Notices of the server."
    )
    push: PushSettings = Field(default=PushSettings(), description="Push gateways.")
    delayed_events: DelayedEventSettings = Field(
        default=DelayedEventSettings(), description="Delayed events."
    )
    presence: PresenceSettings = Field(default=PresenceSettings(), description="Presence.")
    user_directory: UserDirectorySettings = Field(
        default=UserDirectorySettings(), description="The user directory."
    )
    sync: SyncSettings = Field(default=SyncSettings(), description="Sync.")
    media: MediaSettings = Field(default=MediaSettings(), description="Media.")
    discovery: DiscoverySettings = Field(default=DiscoverySettings(), description="Well-known files.")
    turn: TurnSettings = Field(default=TurnSettings(), description="TURN.")
    rtc: RtcSettings = Field(default=RtcSettings(), description="Transports of calls.")
    rate_limits: RateLimits = Field(default=RateLimits(), description="Rate limits.")
    telemetry: TelemetrySettings = Field(default=TelemetrySettings(), description="Telemetry.")
    memory: MemorySettings = Field(default=MemorySettings(), description="Memory.")
    shutdown: ShutdownSettings = Field(default=ShutdownSettings(), description="Stopping.")

    @model_validator(mode="after")
    def _has_what_registration_needs(self) -> Self:
        if self.registration.require_email and not self.email.enabled:
            raise ValueError("registration.require_email needs email.host")
        return self

    @property
    def embedded(self) -> bool:
        """Whether Plexus runs its own PostgreSQL."""
        return self.database.dsn is None

    @property
    def signing_key_file(self) -> Path:
        return self.signing.key_file or self.data_dir / "signing.key"

    @property
    def old_keys_file(self) -> Path:
        return self.signing.old_keys_file or self.data_dir / "signing-old.keys"

    @property
    def public_base_url(self) -> str:
        """Without a slash at its end."""
        return (self.http.public_base_url or f"https://{self.server_name}").rstrip("/")
