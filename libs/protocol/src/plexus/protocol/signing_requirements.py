"""Whose signatures an event needs, and which keys count for them.

For an event that comes in (Server-Server API, "Validating hashes and signatures on received events"):

1. `required_signers` says which servers must have signed it.
2. Of each, the caller looks up the keys under which it signed (`signatures.key_ids_of`).
3. `counts_for_event` says whether a key counts at the time of the event; signatures by others are skipped.
4. Of each server at least one signature must be left, and all that are left must be right: `verify_event`, or
   `verification` for many.

When a key is stored, `valid_until` bounds what its server claims. Times are milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plexus.protocol.errors import BadSignature, InvalidEvent
from plexus.protocol.identifiers import parse_user_id
from plexus.protocol.room_versions import RoomVersion

MAX_VALIDITY_MS = 7 * 24 * 3600 * 1000


def required_signers(version: RoomVersion, pdu: Mapping[str, Any]) -> frozenset[str]:
    """The servers each of which must have signed this PDU, which has the event format of ``version``.

    - The sender's, but for the invitation of a third-party identifier: its proof is the identity server's
      signature inside, and the server that sends it need not be the sender's.
    - Where event IDs are given (room versions 1 and 2), also the server that the ID names.
    - Where there are restricted joins (from room version 8), also that of the user who authorised a member
      (authorisation rules, ``join_authorised_via_users_server``). `BadSignature` if this is no user: nobody
      can have signed then.
    """
    content = pdu["content"]
    is_member = pdu["type"] == "m.room.member"
    signers = set()
    if not (is_member and content.get("membership") == "invite" and "third_party_invite" in content):
        signers.add(_server_of(pdu["sender"], InvalidEvent("sender is not a user ID")))
    if version.event_ids == "given":
        signers.add(pdu["event_id"].partition(":")[2])
    if is_member and version.auth.restricted_join_rules and "join_authorised_via_users_server" in content:
        nobody = BadSignature("join_authorised_via_users_server is not a user ID")
        signers.add(_server_of(content["join_authorised_via_users_server"], nobody))
    return frozenset(signers)


def valid_until(valid_until_ts: int, fetched_ts: int) -> int:
    """Until when a key is valid of which its server says ``valid_until_ts``: no longer than seven days.

    So a stolen key that was published with a validity of years is of no use for years.
    """
    return min(valid_until_ts, fetched_ts + MAX_VALIDITY_MS)


def counts_for_event(
    version: RoomVersion, origin_server_ts: int, *, valid_until_ts: int, expired_ts: int | None = None
) -> bool:
    """Whether a key's signature of an event of this time is looked at.

    ``valid_until_ts`` as `valid_until` gives it; it matters from room version 5 on. A key that its server had
    retired before (``expired_ts``) counts in no room version.
    """
    if expired_ts is not None:
        return origin_server_ts <= expired_ts
    return origin_server_ts <= valid_until_ts or not version.enforce_signing_key_validity


def _server_of(user_id: object, otherwise: Exception) -> str:
    parts = parse_user_id(user_id) if isinstance(user_id, str) else None
    if parts is None:
        raise otherwise
    return parts[1]
