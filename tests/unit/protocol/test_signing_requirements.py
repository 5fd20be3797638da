"""plexus.protocol.signing_requirements"""

from __future__ import annotations

from typing import Any

import pytest
from plexus.protocol import RoomVersion, get_room_version
from plexus.protocol.errors import BadSignature, InvalidEvent
from plexus.protocol.signing_requirements import (
    MAX_VALIDITY_MS,
    counts_for_event,
    required_signers,
    valid_until,
)

MESSAGE: dict[str, Any] = {
    "type": "m.room.message",
    "sender": "@a:one",
    "event_id": "$e:two:8448",
    "content": {},
}
GIVEN, RESTRICTED = {"1", "2"}, {"8", "9", "10", "11", "12"}


def member(**content: Any) -> dict[str, Any]:
    return {**MESSAGE, "type": "m.room.member", "state_key": "@b:one", "content": content}


def named(version: RoomVersion) -> set[str]:
    """The event's ID counts where events have one; where not, what stands there is anybody's."""
    return {"two:8448"} if version.identifier in GIVEN else set()


def test_the_senders_server_and_the_one_that_gave_the_id(version: RoomVersion) -> None:
    assert required_signers(version, MESSAGE) == {"one"} | named(version)
    assert required_signers(version, {**MESSAGE, "event_id": "$e:one"}) == {"one"}
    assert required_signers(version, member(membership="join")) == {"one"} | named(version)
    assert required_signers(version, member(membership="invite")) == {"one"} | named(version)


def test_the_invitation_of_a_third_party_identifier(version: RoomVersion) -> None:
    invite = member(membership="invite", third_party_invite={"signed": {}})
    assert required_signers(version, invite) == named(version)
    # Only an invitation, and only a membership.
    join = member(membership="join", third_party_invite={"signed": {}})
    assert required_signers(version, join) == {"one"} | named(version)
    assert required_signers(version, {**invite, "type": "m.room.message"}) == {"one"} | named(version)


def test_a_restricted_join(version: RoomVersion) -> None:
    join = member(membership="join", join_authorised_via_users_server="@admin:three")
    more = {"three"} if version.identifier in RESTRICTED else set()
    assert required_signers(version, join) == {"one"} | named(version) | more
    assert required_signers(version, {**join, "type": "m.room.message"}) == {"one"} | named(version)


@pytest.mark.parametrize("nobody", [None, "", "three", "@admin", ["@admin:three"]])
def test_a_join_that_nobody_can_have_authorised(version: RoomVersion, nobody: Any) -> None:
    join = member(membership="join", join_authorised_via_users_server=nobody)
    if version.identifier in RESTRICTED:
        with pytest.raises(BadSignature):
            required_signers(version, join)
    else:
        assert required_signers(version, join) == {"one"} | named(version)


def test_who_is_no_user_has_no_server(version: RoomVersion) -> None:
    with pytest.raises(InvalidEvent):
        required_signers(version, {**MESSAGE, "sender": "a"})


def test_a_key_is_believed_for_seven_days_at_most() -> None:
    assert MAX_VALIDITY_MS == 604_800_000
    assert valid_until(1_500, 1_000) == 1_500
    assert valid_until(10**15, 1_000) == 1_000 + MAX_VALIDITY_MS
    assert valid_until(500, 1_000) == 500


def test_when_a_key_counts(version: RoomVersion) -> None:
    assert counts_for_event(version, 1_000, valid_until_ts=1_000)
    enforced = version.identifier not in {"1", "2", "3", "4"}
    assert counts_for_event(version, 1_001, valid_until_ts=1_000) is not enforced


@pytest.mark.parametrize("identifier", ["1", "4", "5", "12"])
def test_a_retired_key_counts_for_the_time_before(identifier: str) -> None:
    version = get_room_version(identifier)
    assert counts_for_event(version, 1_000, valid_until_ts=500, expired_ts=1_000)
    assert not counts_for_event(version, 1_001, valid_until_ts=10_000, expired_ts=1_000)
