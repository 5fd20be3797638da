"""Redactions: whether one may be sent, and whether it takes effect.

In room versions 1 and 2 both are one question, which a rule of authorisation answers (`check_redaction`).
From version 3 on a redaction is authorised as any other event is, and whether it takes effect is asked when
both events are at hand (`may_redact`).

Room version 1, "Authorisation rules", 11; room version 3, "Handling redactions".
"""

from __future__ import annotations

from plexus.protocol.auth_rules.context import Context
from plexus.protocol.identifiers import server_of
from plexus.protocol.power_levels import PowerLevels


def check_redaction(context: Context) -> bool:
    """``redaction``: by level, or for events whose IDs the same server gave. Decides."""
    if context.power.can_redact(context.event.sender):
        return True
    server = _server_in(context.event.event_id)
    if server is None or server != _server_in(context.event.redacts):
        raise context.refusal("redaction.otherwise", "You may not redact the events of other servers")
    return True


def _server_in(event_id: str | None) -> str | None:
    return None if event_id is None else event_id.partition(":")[2] or None


def may_redact(power: PowerLevels, redactor: str, target_sender: str) -> bool:
    """Whether ``redactor``'s redaction applies to an event of ``target_sender``.

    Between users of one server the rule always says yes: that server vouches for its users. For the users of
    our own server, `PowerLevels.can_redact` is to be asked first, see `may_redact_locally`.
    """
    return power.can_redact(redactor) or server_of(redactor) == server_of(target_sender)


def may_redact_locally(power: PowerLevels, redactor: str, target_sender: str) -> bool:
    """Whether we let a user of ours redact: one's own events, or with the redact level."""
    return redactor == target_sender or power.can_redact(redactor)
