"""What users may do, and how much of it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from plexus.platform.settings.section import Section
from plexus.protocol.identifiers import is_server_name
from pydantic import AfterValidator, Field, SecretStr, model_validator

Positive = Annotated[int, Field(ge=1)]


class TermsText(Section):
    """A policy in one language."""

    name: str = Field(description="What it is called in that language.")
    url: str = Field(pattern=r"^https?://[!-~]+$", description="Where it can be read.")


class TermsPolicy(Section):
    """A document that who registers must accept."""

    id: str = Field(pattern=r"^[0-9A-Za-z._-]+$", description="Its name among the policies.")
    version: str = Field(description="Its version.")
    languages: dict[str, TermsText] = Field(min_length=1, description="Name and address by language.")


class RegistrationSettings(Section):
    """Who may make an account."""

    mode: Literal["open", "token", "closed"] = Field(
        default="closed",
        description="``open``: anybody; ``token``: with a registration token; ``closed``: only by "
        "``plexus user add`` and the shared secret.",
    )
    shared_secret: SecretStr | None = Field(
        default=None, description="Secret of ``/_synapse/admin/v1/register``; empty: that way is closed."
    )
    require_email: bool = Field(
        default=False, description="Whether who registers must have an email address; needs ``email.host``."
    )
    terms: list[TermsPolicy] = Field(
        default=[],
        description="What who registers must accept: ``id``, ``version``, and ``languages`` with a ``name`` "
        "and a ``url`` each.",
    )
    guests: bool = Field(default=False, description="Whether guests may register.")


class EmailSettings(Section):
    """The SMTP server through which Plexus sends emails; without one it sends none."""

    host: str | None = Field(
        default=None, description="Name or address of the SMTP server; empty: no emails."
    )
    port: Annotated[int, Field(ge=1, le=65535)] = Field(default=587, description="Its port.")
    security: Literal["starttls", "tls", "none"] = Field(
        default="starttls",
        description="``starttls``: encrypted after the greeting; ``tls``: from the first byte (port 465); "
        "``none``: in clear, for a server on this machine.",
    )
    username: str | None = Field(default=None, description="User name, if the server wants one.")
    password: SecretStr | None = Field(default=None, description="Password of that user.")
    sender: str | None = Field(
        default=None,
        pattern=r"^[^@\r\n]+@[^@\r\n]+$",
        description="The address that emails come from; empty: ``noreply@<server_name>``.",
    )

    @property
    def enabled(self) -> bool:
        return self.host is not None


def _server_names(names: list[str]) -> list[str]:
    for name in names:
        if not is_server_name(name):
            raise ValueError(f"not a server name (a host name with an optional port): {name}")
    return names


class IdentitySettings(Section):
    """Identity servers, which know who has which email address or phone number."""

    trusted_servers: Annotated[list[str], AfterValidator(_server_names)] = Field(
        default=[],
        description="Names (with ports) of the identity servers that users may have asked; all others are "
        "refused. An address that one of them vouches for can be added to an account.",
    )
    timeout_seconds: Annotated[float, Field(gt=0)] = Field(
        default=10, description="How long an identity server may take to answer."
    )


class PasswordSettings(Section):
    """Argon2id's cost, and what a password must be (else ``M_WEAK_PASSWORD``)."""

    hash_time_cost: Positive = Field(default=2, description="Argon2id passes.")
    hash_memory_kib: Annotated[int, Field(ge=8)] = Field(
        default=19_456, description="Argon2id memory; 19 MiB with 2 passes is OWASP's advice."
    )
    hash_parallelism: Positive = Field(default=1, description="Argon2id lanes.")
    hash_concurrency: Positive = Field(default=2, description="Hashes computed at a time, each on a thread.")
    min_length: Positive = Field(default=8, description="Fewest characters.")
    require_digit: bool = Field(default=False, description="At least one digit.")
    require_lowercase: bool = Field(default=False, description="At least one small letter.")
    require_uppercase: bool = Field(default=False, description="At least one capital letter.")
    require_symbol: bool = Field(
        default=False, description="At least one character that is neither letter nor digit."
    )


class SessionSettings(Section):
    """Access tokens and devices."""

    access_token_minutes: Positive = Field(
        default=60, description="Life of an access token that came with a refresh token."
    )
    refresh_token_days: Positive = Field(default=90, description="Life of an unused refresh token.")
    last_seen_minutes: Positive = Field(
        default=5, description="A device's last use is written at most this often."
    )
    token_cache_entries: Positive = Field(
        default=50_000, description="Access tokens remembered by a process."
    )
    max_devices: Positive = Field(default=500, description="Devices of one user; a login beyond is refused.")


class AccountDataSettings(Section):
    """What one account may store. What is over is answered ``M_TOO_LARGE``."""

    max_entries: Positive = Field(
        default=20_000, description="Pieces of account data, those of rooms (tags are one a room) included."
    )
    max_bytes: Positive = Field(default=16_777_216, description="Bytes of their contents in all.")
    max_thread_subscriptions: Positive = Field(
        default=50_000, description="Threads that the account follows or has followed."
    )


class PushSettings(Section):
    """Push gateways, and what notifies."""

    thread_subscriptions: bool = Field(
        default=False,
        description="Whether a message in a thread notifies only who is subscribed to the thread or "
        "mentioned (MSC4306). Clients that know nothing of subscriptions then hear no more of threads, so it "
        "is for deployments whose clients do.",
    )

    plain_http: bool = Field(
        default=False, description="Whether a pusher's gateway may be at an ``http`` address: for tests."
    )


class ServerNoticeSettings(Section):
    """Who speaks for the server, and where."""

    localpart: str = Field(
        default="server-notices",
        pattern=r"^[a-z0-9._=/+-]{1,100}$",
        description="The user by whom notices are sent; nobody can register by this name.",
    )
    display_name: str = Field(default="Server notices", description="That user's display name.")
    room_name: str = Field(default="Server notices", description="The name of a user's notices room.")


class RoomSettings(Section):
    """Rooms made here."""

    default_version: Literal["1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12"] = Field(
        default="12", description="Version of rooms whose creator names none."
    )
    state_cache_mb: Positive = Field(
        default=64,
        description="Memory for the current states of rooms that were asked for, for one process; a member "
        "takes 1 to 2 kB. A room that would take half of it is read anew each time.",
    )
    timeline_cache_mb: Positive = Field(
        default=64,
        description="Memory for stretches of timelines that were read or written lately, for one process; an "
        "event takes 2 to 4 kB.",
    )


class DelayedEventSettings(Section):
    """Events that are sent later (MSC4140)."""

    max_delay_seconds: Positive = Field(default=86_400, description="Longest delay.")
    max_scheduled: Annotated[int, Field(ge=0)] = Field(
        default=100, description="Events that one user may have waiting; 0 turns them off."
    )


class PresenceSettings(Section):
    """Who is online. Everybody who shares a room with a user hears of each change, so on a large server this
    is most of what sync has to tell.
    """

    enabled: bool = Field(
        default=True,
        description="Off, everybody is shown as offline, and what clients say of their presence is not kept.",
    )
    idle_seconds: Positive = Field(
        default=300, description="Who has done nothing for so long is shown as unavailable."
    )
    grace_seconds: Positive = Field(
        default=30,
        description="A device is there for so long after its sync; if its process dies, three times as long.",
    )


class UserDirectorySettings(Section):
    """Searching for users."""

    search_all_users: bool = Field(
        default=False,
        description="Whether everybody finds all users of this server; else those with whom they share a "
        "room, and those in public rooms.",
    )


class SyncSettings(Section):
    """Sync."""

    max_timeout_seconds: Annotated[float, Field(gt=0)] = Field(
        default=120, description="Longest time a sync is held, whatever the client asks."
    )
    initial_concurrency: Positive = Field(
        default=4, description="Initial syncs answered at a time in one process; others wait."
    )
    initial_waiting: Annotated[int, Field(ge=0)] = Field(
        default=200, description="Initial syncs that may wait in one process; more are answered 503."
    )
    initial_wait_seconds: Annotated[float, Field(gt=0)] = Field(
        default=60, description="How long an initial sync waits for its turn; then it is answered 503."
    )
    initial_per_user: Positive = Field(
        default=4, description="Initial syncs that one user may have under way or waiting in one process."
    )
    reach_seconds: Annotated[float, Field(gt=0)] = Field(
        default=1, description="How long a sync waits for what the user wrote or saw through another process."
    )
    turns: Positive = Field(
        default=16,
        description="Requests that one process looks into at a time when they come; others wait their turn. "
        "When a replica leaves, its users come to the others in one moment.",
    )
    lag_seconds: Annotated[float, Field(gt=0)] = Field(
        default=10,
        description="A process that is so far behind PostgreSQL answers initial syncs 503, and whoever would "
        "not be told what they have written themselves.",
    )
    lag_unready_seconds: Annotated[float, Field(gt=0)] = Field(
        default=30,
        description="A process that is so far behind is not ready, so that gateways ask others.",
    )
    tail_mb: Positive = Field(default=64, description="Memory for recent events, for one process.")
    cache_mb: Positive = Field(
        default=64, description="Memory for rooms' sections that members share, for one process."
    )
    max_users: Positive = Field(
        default=20_000, description="Users whose rooms are kept in memory, for one process."
    )
    views_mb: Positive = Field(
        default=512,
        description="Memory for users' rooms and what their devices have, for one process. Who has not asked "
        "for longest is forgotten and read again; who holds a poll is not.",
    )
    max_connections: Positive = Field(
        default=10_000, description="Connections of sliding sync kept in memory, for one process."
    )
    connections_mb: Positive = Field(
        default=64, description="Memory for them, for one process; others are read again."
    )
    connections_per_user: Positive = Field(
        default=50,
        description="Connections of sliding sync of one user; one more ends that used longest ago.",
    )
    sliding_response_mb: Positive = Field(
        default=16,
        description="An answer of sliding sync that has grown beyond it ends there: the other rooms come "
        "with the next.",
    )
    max_polls: Positive = Field(
        default=16_000,
        description="Syncs that one process may hold; one more is answered 503. Less than "
        "``http.max_connections``.",
    )
    polls_per_device: Positive = Field(
        default=4,
        description="Syncs with different filters that one device may hold; one more ends its oldest.",
    )
    polls_per_user: Positive = Field(
        default=64, description="Syncs that one user may hold in one process; one more ends their oldest."
    )


class MediaSettings(Section):
    """Uploads and what becomes of them."""

    max_upload_bytes: Positive = Field(default=52_428_800, description="Largest upload.")
    max_pending_uploads: Positive = Field(
        default=5, description="Media IDs one user may have reserved and not filled."
    )
    pending_hours: Positive = Field(default=24, description="How long a reserved media ID waits.")
    store_url: str | None = Field(
        default=None,
        pattern=r"^(file|s3|gs|az)://\S+$",
        description="Where media are kept, as a URL of a folder or bucket; empty: ``<data_dir>/media``.",
    )
    store_endpoint: str | None = Field(
        default=None,
        pattern=r"^https?://[^/\s?#@]+/?$",
        description="Address of an S3 that is not Amazon's, for ``s3://`` URLs.",
    )
    store_region: str | None = Field(
        default=None, description="The bucket's region; empty: ``AWS_REGION``, or ``us-east-1``."
    )
    store_access_key_id: str | None = Field(
        default=None,
        description="Name of the S3 key; empty: ``AWS_ACCESS_KEY_ID``, or the role of the machine or pod.",
    )
    store_secret_access_key: SecretStr | None = Field(
        default=None, description="The S3 key itself; empty: ``AWS_SECRET_ACCESS_KEY``."
    )
    store_path_style: bool = Field(
        default=True,
        description="The bucket stands in the path of an S3 address; false: in its host name.",
    )
    store_timeout_seconds: Annotated[float, Field(gt=0)] = Field(
        default=10, description="Longest wait for a bucket to send or take the next bytes."
    )

    @model_validator(mode="after")
    def _s3_only(self) -> MediaSettings:
        if self.store_endpoint is not None and not (self.store_url or "").startswith("s3://"):
            raise ValueError("store_endpoint is for an s3:// store_url")
        return self


class Limit(Section):
    """A bucket of ``burst`` tokens that fills by ``per_second``."""

    per_second: Annotated[float, Field(gt=0)] = Field(description="Tokens a second.")
    burst: Annotated[float, Field(ge=1)] = Field(description="Tokens when full.")


def _limit(per_second: float, burst: float) -> Limit:
    return Limit(per_second=per_second, burst=burst)


class RateLimits(Section):
    """Limits by user or by address. What is over is answered ``M_LIMIT_EXCEEDED`` with the time to wait."""

    enabled: bool = Field(default=True, description="Off for load tests and behind a limiter of your own.")
    message: Limit = Field(default=_limit(10, 50), description="Events sent, by user.")
    ephemeral: Limit = Field(
        default=_limit(20, 100), description="Receipts, read markers, typing and presence, by user."
    )
    delayed_event: Limit = Field(
        default=_limit(2, 30),
        description="Delayed events scheduled, restarted, cancelled and sent at once, by user.",
    )
    login_address: Limit = Field(default=_limit(0.2, 20), description="Login attempts, by address.")
    login_flows: Limit = Field(default=_limit(5, 100), description="Ways to log in asked for, by address.")
    login_account: Limit = Field(default=_limit(0.05, 5), description="Failed logins, by account.")
    registration: Limit = Field(default=_limit(0.1, 10), description="Registrations, by address.")
    email: Limit = Field(
        default=_limit(0.01, 5),
        description="Emails asked for, by the client's address and by the one they go to.",
    )
    email_token: Limit = Field(default=_limit(0.1, 10), description="Tokens of emails tried, by address.")
    room_creation: Limit = Field(default=_limit(0.2, 20), description="Rooms made, by user.")
    join: Limit = Field(default=_limit(0.5, 20), description="Joins, by user.")
    invite: Limit = Field(default=_limit(0.5, 20), description="Invites, by user.")
    media: Limit = Field(default=_limit(1, 30), description="Uploads, by user.")
    profile: Limit = Field(default=_limit(0.2, 10), description="Profile changes, by user.")
    account: Limit = Field(default=_limit(0.2, 10), description="Password and account changes, by user.")
    keys: Limit = Field(default=_limit(10, 50), description="Key uploads and queries, by user.")
    report: Limit = Field(default=_limit(0.1, 20), description="Reports, by user.")
    query: Limit = Field(default=_limit(20, 100), description="Reads that cost much, by user.")

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, data: Any) -> Any:
        # Who changes only the burst keeps the rate.
        if not isinstance(data, dict):
            return data
        whole = dict(data)
        for name, field in cls.model_fields.items():
            if isinstance(field.default, Limit) and isinstance(whole.get(name), dict):
                whole[name] = {**dict(field.default), **whole[name]}
        return whole

    def buckets(self) -> dict[str, Limit]:
        """Every bucket by its name."""
        return {name: value for name, value in self if isinstance(value, Limit)}
