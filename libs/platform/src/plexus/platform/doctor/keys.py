"""The files that say who the server is."""

from __future__ import annotations

import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from plexus.platform.clock import Clock
from plexus.platform.compose import postgres_folder
from plexus.platform.doctor.findings import Finding, failure, ok, warning
from plexus.platform.settings import Settings
from plexus.platform.signing import SigningKeys, SigningKeysError
from plexus.platform.tls import ReloadingTls

_SOON = timedelta(days=14)


def signing_key(settings: Settings, clock: Clock) -> list[Finding]:
    path = settings.signing_key_file
    if not path.exists():
        return [_no_key(settings, path)]
    if (open_to := _open_to(path)) is not None:
        return [open_to("keys", "can speak in this server's name")]
    try:
        keys = SigningKeys(path, settings.old_keys_file, clock)
    except SigningKeysError as error:
        return [failure("keys", str(error), "mend the file, or bring it back from a backup")]
    current = keys.current().key_id
    retired = [old for old in keys.old() if old.verify_key.key_id == current]
    if retired:
        day = datetime.fromtimestamp(retired[0].expired_ts / 1000, UTC)
        return [
            failure(
                "keys",
                f"{current} signs, and {settings.old_keys_file} says that it expired on {day:%Y-%m-%d}: "
                "other servers will refuse what it signs",
                f"put a new key in the first line of {path}",
            )
        ]
    return [ok("keys", f"{path} signs as {current}")]


def certificate(settings: Settings, clock: Clock) -> list[Finding]:
    """Of the federation listener, if there is one."""
    listener = settings.listeners.federation
    if not listener.enabled or listener.certificate is None or listener.private_key is None:
        return []
    try:
        ReloadingTls(listener)
        chain = x509.load_pem_x509_certificates(listener.certificate.read_bytes())
    except (OSError, ValueError) as error:
        return [
            failure(
                "tls",
                f"{listener.certificate} and {listener.private_key} cannot be used: {error}",
                "put a certificate with its chain and the key that belongs to it there, in PEM",
            )
        ]
    if (open_to := _open_to(listener.private_key)) is not None:
        return [open_to("tls", "can pass for this server")]
    now = datetime.fromtimestamp(clock.now_ms() / 1000, UTC)
    begins = max(part.not_valid_before_utc for part in chain)
    ends = min(part.not_valid_after_utc for part in chain)
    renew = "renew it; Plexus reads the new files without a restart"
    if now < begins:
        return [failure("tls", f"{listener.certificate} is not valid before {begins:%Y-%m-%d %H:%M}Z", renew)]
    if now > ends:
        return [failure("tls", f"{listener.certificate} expired on {ends:%Y-%m-%d %H:%M}Z", renew)]
    if now > ends - _SOON:
        return [warning("tls", f"{listener.certificate} expires on {ends:%Y-%m-%d %H:%M}Z", renew)]
    return [ok("tls", f"{listener.certificate} is valid until {ends:%Y-%m-%d}")]


def authorities(settings: Settings) -> list[Finding]:
    path = settings.outbound.extra_ca
    if path is None:
        return []
    try:
        found = x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError) as error:
        return [
            failure(
                "tls",
                f"the certificate authorities in {path} (outbound.extra_ca) cannot be read: {error}",
                "put certificates in PEM there, or leave the setting out",
            )
        ]
    return [ok("tls", f"{len(found)} more certificate authorities are trusted")]


def _no_key(settings: Settings, path: Path) -> Finding:
    if not settings.embedded or settings.signing.key_file is not None:
        return failure(
            "keys",
            f"there is no signing key at {path}",
            "mount the one that all replicas share there; docs/operations.md says how to make one",
        )
    if (postgres_folder(settings) / "data").exists():
        return failure(
            "keys",
            f"{path} is gone, and the server has used it already",
            "bring it back from a backup: the next start would make another one, and then other servers "
            "cannot check what the old one has signed",
        )
    return ok("keys", f"{path} will be made by the first start")


def _open_to(path: Path) -> Callable[[str, str], Finding] | None:
    """Makes the finding, if somebody but the owner may read a secret file."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return None  # who reads it says so better
    if mode & 0o007:
        return lambda topic, can: failure(
            topic, f"everybody on this machine can read {path} (mode {mode:o}) and {can}", f"chmod 600 {path}"
        )
    if mode & 0o070:
        # So are secrets mounted by Kubernetes.
        return lambda topic, can: warning(
            topic,
            f"the group of {path} can read it (mode {mode:o}) and {can}",
            f"chmod 600 {path}, unless it is mounted like that and the group is only Plexus",
        )
    return None
