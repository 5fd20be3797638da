"""Rules ``member``: m.room.member. One function a membership, its steps in the order of the specification."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from plexus.protocol.auth_rules.context import Context
from plexus.protocol.auth_rules.third_party import check_third_party_invite


def check_member(context: Context) -> bool:
    """Rules ``member``, and ``member.otherwise`` for memberships that nobody knows. Always decides."""
    event = context.event
    membership = event.content.get("membership")
    if event.state_key is None or membership is None:
        raise context.refusal("member.malformed", "A membership event needs a state key and a membership")
    check = _BY_MEMBERSHIP.get(membership) if isinstance(membership, str) else None
    if check is None:
        raise context.refusal("member.otherwise", "This membership is not known")
    check(context, event.state_key)
    return True


def _check_join(context: Context, target: str) -> None:
    event = context.event
    if event.prev_events == (context.create.event_id,) and target == _first_member(context):
        return  # member.join.first
    if event.sender != target:
        raise context.refusal("member.join.sender", "Nobody can join for somebody else")
    membership = context.membership(target)
    if membership == "ban":
        raise context.refusal("member.join.banned", "You are banned from this room")
    rule = context.join_rule
    auth = context.version.auth
    if rule in auth.invite_join_rules:
        if membership not in ("invite", "join"):
            raise context.refusal("member.join.invite", "You are not invited to this room")
    elif rule in auth.restricted_join_rules:
        if membership not in ("invite", "join"):
            _check_authorised_join(context)
    elif rule != "public":
        raise context.refusal("member.join.otherwise", "This room's join rule does not let you join")


def _first_member(context: Context) -> object:
    create = context.create
    # Up to room version 10 it is the user named in the content, later the sender.
    return create.content.get("creator") if context.version.auth.create_needs_creator else create.sender


def _check_authorised_join(context: Context) -> None:
    """``member.join.restricted``. That the user's server has signed the event (``member.authorised``) is
    checked with the signatures.
    """
    authoriser = context.event.content.get("join_authorised_via_users_server")
    if not isinstance(authoriser, str):
        raise context.refusal(
            "member.join.restricted.authoriser", "No member of this room has authorised you to join"
        )
    if context.membership(authoriser) != "join":
        raise context.refusal(
            "member.join.restricted.authoriser", "Who authorised you to join is not in the room"
        )
    if context.power.user_level(authoriser) < context.power.invite:
        raise context.refusal(
            "member.join.restricted.authoriser", "Who authorised you to join may not invite"
        )


def _check_invite(context: Context, target: str) -> None:
    if "third_party_invite" in context.event.content:
        check_third_party_invite(context, target)  # decides by itself
        return
    _check_sender_joined(context, "member.invite.sender")
    membership = context.membership(target)
    if membership == "join":
        raise context.refusal("member.invite.target", "The user is already in the room")
    if membership == "ban":
        raise context.refusal("member.invite.target", "The user is banned from the room")
    if context.sender_level < context.power.invite:
        raise context.refusal("member.invite.otherwise", "You may not invite to this room")


def _check_leave(context: Context, target: str) -> None:
    sender = context.event.sender
    if sender == target:
        if context.membership(target) not in ("invite", "join", "knock"):
            raise context.refusal("member.leave.own", "You are not in this room")
        return
    _check_sender_joined(context, "member.leave.sender")
    level, power = context.sender_level, context.power
    if context.membership(target) == "ban" and level < power.ban:
        raise context.refusal("member.leave.banned", "You may not lift a ban in this room")
    if level < power.kick:
        raise context.refusal("member.leave.otherwise", "You may not remove users from this room")
    if power.user_level(target) >= level:
        raise context.refusal(
            "member.leave.otherwise", "You may only remove users whose power is lower than yours"
        )


def _check_ban(context: Context, target: str) -> None:
    _check_sender_joined(context, "member.ban.sender")
    level, power = context.sender_level, context.power
    if level < power.ban:
        raise context.refusal("member.ban.otherwise", "You may not ban users from this room")
    if power.user_level(target) >= level:
        raise context.refusal(
            "member.ban.otherwise", "You may only ban users whose power is lower than yours"
        )


def _check_knock(context: Context, target: str) -> None:
    rules = context.version.auth.knock_join_rules
    if not rules:
        raise context.refusal("member.otherwise", "This room version does not know knocking")
    if context.join_rule not in rules:
        raise context.refusal("member.knock.join_rule", "This room does not take knocks")
    if context.event.sender != target:
        raise context.refusal("member.knock.sender", "Nobody can knock for somebody else")
    if context.membership(target) in ("ban", "invite", "join"):
        raise context.refusal(
            "member.knock.otherwise", "You cannot knock here: you are banned, invited or in the room already"
        )


def _check_sender_joined(context: Context, rule: str) -> None:
    if context.membership(context.event.sender) != "join":
        raise context.refusal(rule, "You are not in this room")


_BY_MEMBERSHIP: Mapping[str, Callable[[Context, str], None]] = {
    "join": _check_join,
    "invite": _check_invite,
    "leave": _check_leave,
    "ban": _check_ban,
    "knock": _check_knock,
}
