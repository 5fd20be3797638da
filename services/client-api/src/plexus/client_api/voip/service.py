"""Credentials that the TURN server can check without asking us.

Both know a secret. The user name says until when the credentials are good, and the password is the HMAC-SHA1
of the user name under the secret, in base64: the "TURN REST API" that coturn and eturnal speak.
"""

from __future__ import annotations

import hmac
from base64 import b64encode
from typing import Any

from plexus.platform.settings import TurnSettings
from plexus.protocol.errors import NotFound


def turn_credentials(turn: TurnSettings, user_id: str, now: int) -> dict[str, Any]:
    """``getTurnServer``, at ``now`` in seconds; `NotFound` if there is no TURN server.

    Not an empty list of addresses: browsers refuse a server without one.
    """
    if not turn.uris or turn.shared_secret is None:
        raise NotFound("This server has no TURN server")
    username = f"{now + turn.ttl_seconds}:{user_id}"
    secret = turn.shared_secret.get_secret_value().encode()
    password = hmac.digest(secret, username.encode(), "sha1")
    return {
        "username": username,
        "password": b64encode(password).decode(),
        "uris": turn.uris,
        "ttl": turn.ttl_seconds,
    }
