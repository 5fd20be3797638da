"""Whether a redaction takes effect. Being allowed to send one is another matter (rule 8).

Room version 3, "Handling redactions".
"""

from __future__ import annotations

from plexus.protocol.identifiers import server_of
from plexus.protocol.power_levels import PowerLevels


def may_redact(power: PowerLevels, redactor: str, target_sender: str) -> bool:
    """Whether ``redactor``'s redaction applies to an event of ``target_sender``.

    Between users of one server the rule always says yes: that server vouches for its users. For the users of
    our own server, `PowerLevels.can_redact` is to be asked first, see `may_redact_locally`.
    """
    return power.can_redact(redactor) or server_of(redactor) == server_of(target_sender)


def may_redact_locally(power: PowerLevels, redactor: str, target_sender: str) -> bool:
    """Whether we let a user of ours redact: one's own events, or with the redact level."""
    return redactor == target_sender or power.can_redact(redactor)
