"""The authorisation rules: may this event happen, given the state of the room?

An event is judged in these steps:

1. Its type picks a list of checks (`table.rules_for`): create events, memberships, power levels and
   third-party invites have lists of their own, everything else shares one.
2. The checks run in the order of the specification. Each is a small function that cites its rule: it either
   says nothing, or allows, or rejects with `AuthRejected`. The first that allows ends the matter.
3. If none has rejected, the event is allowed.

Room versions differ by values only (`RoomVersion.auth`). A check knows its rule by a name, such as
``member.join.banned``; the refusal says the number that this rule has in the room's version
(``rule_numbers``).

What is *not* decided here, because it needs keys or other events' fate: that the event is signed by the
sender's server, and for ``join_authorised_via_users_server`` by that user's server too
(``member.authorised``); whether auth events were rejected is asked of the caller (`check_auth_events`).
Whether a redaction takes effect is `may_redact`.

Events are judged by shape (`AuthEvent`), so our own are checked as a `Draft` before they are signed.

https://spec.matrix.org/latest/rooms/v12/#authorisation-rules; Server-Server API, "Authorisation rules".
"""

from plexus.protocol.auth_rules.context import AuthEvent, StateLookup
from plexus.protocol.auth_rules.redactions import may_redact, may_redact_locally
from plexus.protocol.auth_rules.selection import auth_types_for_event, check_auth_events
from plexus.protocol.auth_rules.table import check_auth

__all__ = [
    "AuthEvent",
    "StateLookup",
    "auth_types_for_event",
    "check_auth",
    "check_auth_events",
    "may_redact",
    "may_redact_locally",
]
