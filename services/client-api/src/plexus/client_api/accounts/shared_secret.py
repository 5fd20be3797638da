"""Accounts by a shared secret: the HMAC flow of Synapse's ``/_synapse/admin/v1/register``, which many tools
use.

1. The client gets a nonce.
2. It sends the account with ``mac``: HMAC-SHA1, by the secret, over nonce, user name, password, "admin" or
   "notadmin" and, if given, the user type, with NULs between them.

Our nonces are signed with the secret and carry their time, so any replica can check them and none is stored.
A replay within their minute finds the user name taken.
"""

from __future__ import annotations

import hmac
import secrets
from hashlib import sha256

from plexus.client_api.accounts.models import SharedSecretRegistration
from plexus.protocol.errors import Forbidden, MatrixError

NONCE_LIFE_MS = 60_000


def make_nonce(secret: str, now_ms: int) -> str:
    body = f"{now_ms}.{secrets.token_hex(16)}"
    return f"{body}.{_seal(secret, body)}"


def check_nonce(secret: str, nonce: str, now_ms: int) -> None:
    """``M_UNKNOWN`` (400) unless it is ours and less than a minute old."""
    body, _, seal = nonce.rpartition(".")
    made, _, _ = body.partition(".")
    if (
        not hmac.compare_digest(seal.encode(), _seal(secret, body).encode())
        or not 0 <= now_ms - int(made) < NONCE_LIFE_MS
    ):
        raise MatrixError(400, "M_UNKNOWN", "unrecognised nonce")


def make_mac(
    secret: str, nonce: str, username: str, password: str, *, admin: bool, user_type: str | None = None
) -> str:
    parts = [nonce, username, password, "admin" if admin else "notadmin"]
    if user_type is not None:
        parts.append(user_type)
    # SHA-1 is what the flow prescribes; in an HMAC its weakness does not matter.
    return hmac.new(secret.encode(), "\0".join(parts).encode(), "sha1").hexdigest()


def check_mac(secret: str, body: SharedSecretRegistration) -> None:
    expected = make_mac(
        secret, body.nonce, body.username, body.password, admin=body.admin, user_type=body.user_type
    )
    if not hmac.compare_digest(expected.encode(), body.mac.encode()):
        raise Forbidden("HMAC incorrect")


def _seal(secret: str, body: str) -> str:
    return hmac.new(secret.encode(), b"plexus nonce " + body.encode(), sha256).hexdigest()[:32]
