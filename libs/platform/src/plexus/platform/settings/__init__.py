"""Settings: typed, documented, with defaults that work.

1. They come from the environment (``PLEXUS_HTTP__TRUSTED_PROXIES``: ``__`` goes into a section), then from a
   TOML file, then from the defaults.
2. Every secret can stand in a file instead: ``<name>_file`` with a path.
3. An unknown name or a bad value stops the start with a `SettingsError` that names it.

`load_settings` reads them; ``docs/settings.md`` is made from the same classes by `reference`.
"""

from plexus.platform.settings.cluster import (
    CallsSettings,
    KafkaSettings,
    LeadershipSettings,
    RedisSettings,
)
from plexus.platform.settings.database import DatabaseSettings, EmbeddedSettings, FactSettings
from plexus.platform.settings.discovery import Contact, DiscoverySettings, RtcSettings, TurnSettings
from plexus.platform.settings.http import (
    FederationListener,
    HttpSettings,
    Listener,
    ListenersSettings,
    OutboundSettings,
    SigningSettings,
)
from plexus.platform.settings.load import SettingsError, load_settings
from plexus.platform.settings.operation import ShutdownSettings, TelemetrySettings
from plexus.platform.settings.root import Settings
from plexus.platform.settings.users import (
    AccountDataSettings,
    DelayedEventSettings,
    EmailSettings,
    IdentitySettings,
    Limit,
    MediaSettings,
    PasswordSettings,
    PresenceSettings,
    RateLimits,
    RegistrationSettings,
    RoomSettings,
    ServerNoticeSettings,
    SessionSettings,
    SyncSettings,
    TermsPolicy,
)

__all__ = [
    "AccountDataSettings",
    "CallsSettings",
    "Contact",
    "DatabaseSettings",
    "DelayedEventSettings",
    "DiscoverySettings",
    "EmailSettings",
    "EmbeddedSettings",
    "FactSettings",
    "FederationListener",
    "HttpSettings",
    "IdentitySettings",
    "KafkaSettings",
    "LeadershipSettings",
    "Limit",
    "Listener",
    "ListenersSettings",
    "MediaSettings",
    "OutboundSettings",
    "PasswordSettings",
    "PresenceSettings",
    "RateLimits",
    "RedisSettings",
    "RegistrationSettings",
    "RoomSettings",
    "RtcSettings",
    "ServerNoticeSettings",
    "SessionSettings",
    "Settings",
    "SettingsError",
    "ShutdownSettings",
    "SigningSettings",
    "SyncSettings",
    "TelemetrySettings",
    "TermsPolicy",
    "TurnSettings",
    "load_settings",
]
