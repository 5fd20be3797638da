"""Third-party invites: rules ``third_party_invite`` for the invitation, ``member.invite.third_party`` for
taking it up.

The invitation (m.room.third_party_invite) holds public keys; the membership event holds an object that one of
these keys has signed. So any server can see that the identity server vouched for the invited user, without
asking it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from plexus.protocol.auth_rules.context import Context
from plexus.protocol.errors import BadSignature, MatrixError
from plexus.protocol.signatures import ALGORITHM, VerifyKey, signed_bytes


def check_invitation(context: Context) -> bool:
    """Whoever may invite may invite by third-party identifier. Decides."""
    if context.sender_level < context.power.invite:
        raise context.refusal("third_party_invite.level", "You may not invite to this room")
    return True


def check_third_party_invite(context: Context, target: str) -> None:
    """In the order of the rules."""
    if context.membership(target) == "ban":
        raise context.refusal("member.invite.third_party.banned", "The user is banned from the room")
    invite = context.event.content["third_party_invite"]
    signed = invite.get("signed") if isinstance(invite, dict) else None
    if not isinstance(signed, dict):
        raise context.refusal(
            "member.invite.third_party.not_signed", "third_party_invite has no signed object"
        )
    mxid, token = signed.get("mxid"), signed.get("token")
    if not isinstance(mxid, str) or not isinstance(token, str):
        raise context.refusal(
            "member.invite.third_party.malformed", "The signed object has no mxid or no token"
        )
    if mxid != target:
        raise context.refusal("member.invite.third_party.mxid", "The invitation is for somebody else")
    invitation = context.state("m.room.third_party_invite", token)
    if invitation is None:
        raise context.refusal(
            "member.invite.third_party.token", "There is no such third-party invitation in the room"
        )
    if context.event.sender != invitation.sender:
        raise context.refusal("member.invite.third_party.sender", "The invitation was sent by somebody else")
    if not any(keys_that_signed(signed, invitation.content)):
        raise context.refusal(
            "member.invite.third_party.otherwise", "No key of the invitation has signed this"
        )


def keys_that_signed(signed: Mapping[str, Any], invitation: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Of the keys in the invitation's content those that have signed this, each with what is said of it
    (``public_key``, ``key_validity_url``).
    """
    try:
        message = signed_bytes(signed)
    except MatrixError:
        return
    listed = invitation.get("public_keys")
    for entry in (invitation, *(listed if isinstance(listed, list) else ())):
        key = entry.get("public_key") if isinstance(entry, Mapping) else None
        if isinstance(key, str) and any(
            _verifies(key_id, key, message, signature) for key_id, signature in _signatures(signed)
        ):
            yield {"public_key": key, "key_validity_url": entry.get("key_validity_url")}


def _signatures(signed: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    by_signer = signed.get("signatures")
    for signatures in by_signer.values() if isinstance(by_signer, dict) else ():
        for key_id, signature in signatures.items() if isinstance(signatures, dict) else ():
            if key_id.startswith(ALGORITHM + ":") and isinstance(signature, str):
                yield key_id, signature


def _verifies(key_id: str, public_key: str, message: bytes, signature: str) -> bool:
    try:
        VerifyKey.from_base64(key_id, public_key).verify(message, signature)
    except (BadSignature, ValueError):
        return False
    return True
