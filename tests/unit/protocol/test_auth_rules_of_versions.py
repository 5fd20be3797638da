"""plexus.protocol.auth_rules: what only some room versions know."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from plexus.protocol import ROOM_VERSIONS, AuthRejected, Draft, check_auth

if TYPE_CHECKING:
    from tests.unit.protocol.conftest import Room

ALICE, BOB, CAROL, MALLORY = "@alice:one", "@bob:two", "@carol:three", "@mallory:evil"
MESSAGE: dict[str, Any] = {"msgtype": "m.text", "body": "hi"}
ALIASES: dict[str, Any] = {"aliases": ["#tea:evil"]}


def versions(first: int, last: int) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("version", [str(number) for number in range(first, last + 1)])


def refusal(room: Room, *event: Any, **more: Any) -> tuple[str, str]:
    """The name of the rule that refuses this, and its number in the room's version."""
    with pytest.raises(AuthRejected) as caught:
        room.judge(*event, **more)
    assert caught.value.rule == room.version.auth.numbers[caught.value.name]
    assert f"(rule {caught.value.rule})" in str(caught.value)
    return caught.value.name, caught.value.rule


@pytest.mark.parametrize("version", ROOM_VERSIONS)
def test_a_refusal_says_the_number_of_its_own_version(new_room: Callable[..., Room], version: str) -> None:
    number = {**dict.fromkeys("12345", "6"), "12": "6"}.get(version, "5")
    assert refusal(new_room(version), "m.room.message", MALLORY, MESSAGE) == ("sender", number)


@pytest.mark.parametrize("version", ROOM_VERSIONS)
def test_without_a_create_event_nothing_is_allowed(new_room: Callable[..., Room], version: str) -> None:
    room = new_room(version)
    draft = Draft("m.room.message", ALICE, MESSAGE, room.room_id)
    with pytest.raises(AuthRejected) as caught:
        check_auth(room.version, draft, room.lookup, create=None)
    assert caught.value.rule == ("2" if version == "12" else "2.4")


class TestAliases:
    @versions(1, 5)
    def test_a_server_speaks_of_its_own(self, new_room: Callable[..., Room], version: str) -> None:
        room = new_room(version)
        # Neither membership nor power is asked for.
        room.judge("m.room.aliases", MALLORY, ALIASES, "evil")
        assert refusal(room, "m.room.aliases", MALLORY, ALIASES, "one") == (
            "aliases.other_server",
            "4.2",
        )
        assert refusal(room, "m.room.aliases", ALICE, ALIASES) == ("aliases.no_state_key", "4.1")
        assert refusal(room, "m.room.aliases", ALICE, ALIASES, "") == ("aliases.other_server", "4.2")

    @versions(1, 5)
    def test_but_not_in_a_room_of_one_server(self, new_room: Callable[..., Room], version: str) -> None:
        room = new_room(version, **{"m.federate": False})
        assert refusal(room, "m.room.aliases", MALLORY, ALIASES, "evil") == ("federate", "3")

    @versions(6, 12)
    def test_later_they_are_state_as_any_other(self, new_room: Callable[..., Room], version: str) -> None:
        room = new_room(version)
        assert refusal(room, "m.room.aliases", MALLORY, ALIASES, "evil")[0] == "sender"
        room.join_rule("public")
        room.member(MALLORY, "join")
        assert refusal(room, "m.room.aliases", MALLORY, ALIASES, "evil")[0] == "required_level"
        room.judge("m.room.aliases", ALICE, ALIASES, "evil")


class TestRedactions:
    @versions(1, 2)
    def test_by_level_or_of_ids_that_the_same_server_gave(
        self, new_room: Callable[..., Room], version: str
    ) -> None:
        room = new_room(version)
        room.power(users={ALICE: 100, BOB: 50})
        room.join_rule("public")
        room.member(BOB, "join")
        room.member(CAROL, "join")
        for target in ("$x:one", "$x:three", "$x"):
            room.judge("m.room.redaction", BOB, {}, redacts=target)
        room.judge("m.room.redaction", CAROL, {}, redacts="$x:three")
        for others in ("$x:one", "$x:three:8448", "$x", None):
            found = refusal(room, "m.room.redaction", CAROL, {}, redacts=others)
            assert found == ("redaction.otherwise", "11.3")
        # By the ID that the redaction has, whoever sends it: that is why its server must have signed it too.
        draft = Draft("m.room.redaction", CAROL, {}, room.room_id, None, room.tip, "$r:one", "$x:one")
        check_auth(room.version, draft, room.lookup, create=room.create)

    @versions(3, 12)
    def test_later_the_rules_let_them_pass(self, new_room: Callable[..., Room], version: str) -> None:
        room = new_room(version)
        room.join_rule("public")
        room.member(CAROL, "join")
        room.judge("m.room.redaction", CAROL, {}, redacts="$x:one")
        room.power(users={} if version == "12" else {ALICE: 100}, events={"m.room.redaction": 10})
        assert refusal(room, "m.room.redaction", CAROL, {}, redacts="$x:three")[0] == "required_level"


class TestLevelsThatAreNoIntegers:
    @versions(1, 9)
    def test_a_demoted_admin_in_strings(self, new_room: Callable[..., Room], version: str) -> None:
        room = new_room(version)
        room.join_rule("public")
        room.member(BOB, "join")
        room.power(users={ALICE: "100", BOB: " +0099 "}, ban="60", events={"m.room.name": "70"})
        room.judge("m.room.name", BOB, {"name": "x"}, "")
        room.judge("m.room.member", BOB, {"membership": "ban"}, MALLORY)
        # Written otherwise, but not changed.
        room.power(by=BOB, users={ALICE: "100", BOB: 99}, ban=60, events={"m.room.name": "70"})
        assert refusal(room, "m.room.power_levels", BOB, {"users": {ALICE: "99", BOB: "99"}}, "")[0] == (
            "power_levels.users_before.level"
        )
        room.power(users={ALICE: "100", BOB: "0"}, ban="60")
        assert (
            refusal(room, "m.room.member", BOB, {"membership": "ban"}, MALLORY)[0] == "member.ban.otherwise"
        )
        assert refusal(room, "m.room.topic", BOB, {}, "")[0] == "required_level"

    @versions(1, 5)
    def test_the_fraction_of_a_float_gives_no_power(
        self, new_room: Callable[..., Room], version: str
    ) -> None:
        room = new_room(version)
        room.join_rule("public")
        room.member(BOB, "join")
        room.power(users={ALICE: 100, BOB: 50.57}, kick=50.99, state_default=51.0)
        room.judge("m.room.member", BOB, {"membership": "leave"}, CAROL)
        assert refusal(room, "m.room.topic", BOB, {}, "")[0] == "required_level"

    @versions(1, 9)
    def test_elsewhere_than_in_users_nobody_minds_nonsense(
        self, new_room: Callable[..., Room], version: str
    ) -> None:
        room = new_room(version)
        room.join_rule("public")
        room.member(BOB, "join")
        room.power(users={ALICE: 100}, ban="high", events=[], events_default=None)
        room.judge("m.room.message", BOB, MESSAGE)
        assert refusal(room, "m.room.power_levels", ALICE, {"users": {ALICE: "high"}}, "") == (
            "power_levels.users",
            "10.1" if int(version) < 6 else "9.1",
        )

    @versions(10, 12)
    def test_later_a_string_is_no_level(self, new_room: Callable[..., Room], version: str) -> None:
        number = "10" if version == "12" else "9"
        room = new_room(version)
        for content, rule in (
            ({"ban": "50"}, "1"),
            ({"events": {"x": "1"}}, "2"),
            ({"users": {BOB: "1"}}, "3"),
        ):
            assert refusal(room, "m.room.power_levels", ALICE, content, "")[1] == f"{number}.{rule}"


@versions(1, 5)
def test_before_version_6_anybody_who_may_set_levels_moves_those_of_notifications(
    new_room: Callable[..., Room], version: str
) -> None:
    room = new_room(version)
    room.join_rule("public")
    room.member(BOB, "join")
    power: dict[str, Any] = {"users": {ALICE: 100, BOB: 50}, "events": {"m.room.power_levels": 50}}
    room.power(**power, notifications={"room": 99})
    room.power(**power, by=BOB, notifications={"room": 0})


@versions(1, 11)
def test_a_creator_is_who_was_there_first_and_no_more(new_room: Callable[..., Room], version: str) -> None:
    room = new_room(version)
    room.join_rule("public")
    room.member(BOB, "join")
    room.power(users={BOB: 100})
    assert refusal(room, "m.room.topic", ALICE, {}, "")[0] == "required_level"
    room.member(ALICE, "ban", by=BOB)
    assert refusal(room, "m.room.message", ALICE, MESSAGE)[0] == "sender"


@versions(1, 10)
def test_the_creator_named_joins_first(new_room: Callable[..., Room], version: str) -> None:
    room = new_room(version)
    assert room.create is not None
    first = (room.create.event_id,)
    room.state.clear()
    named = Draft(
        "m.room.create", ALICE, {"creator": BOB, "room_version": version}, room.room_id, "", (), "$c:one"
    )
    check_auth(room.version, named, room.lookup, create=None)
    create = room.create
    create.content["creator"] = BOB
    join = {"membership": "join"}
    draft = Draft("m.room.member", BOB, join, room.room_id, BOB, first, "$m:two")
    check_auth(room.version, draft, room.lookup, create=create)
    with pytest.raises(AuthRejected):
        check_auth(
            room.version,
            Draft("m.room.member", ALICE, join, room.room_id, ALICE, first, "$m:one"),
            room.lookup,
            create=create,
        )


class TestVersion12:
    def test_the_room_is_its_create_event(self, new_room: Callable[..., Room]) -> None:
        room, other = new_room("12"), new_room("12", CAROL)
        assert room.create is not None and other.create is not None
        assert room.room_id == "!" + room.create.event_id[1:]
        for wrong in ("!" + other.create.event_id[1:], "!room:one", None):
            draft = Draft("m.room.message", ALICE, MESSAGE, wrong, None, room.tip)
            with pytest.raises(AuthRejected) as caught:
                check_auth(room.version, draft, room.lookup, create=room.create)
            assert caught.value.rule == "2"

    def test_no_level_reaches_a_creator(self, new_room: Callable[..., Room]) -> None:
        room = new_room("12", additional_creators=[BOB])
        room.join_rule("public")
        for user in (BOB, CAROL):
            room.member(user, "join")
        top = 2**53 - 1
        room.power(users={CAROL: top}, kick=top, state_default=top, events={"m.room.power_levels": top})
        for creator in (ALICE, BOB):
            assert refusal(room, "m.room.member", CAROL, {"membership": "leave"}, creator)[1] == "5.5.5"
            for level in (0, top):
                content = {"users": {creator: level}}
                assert refusal(room, "m.room.power_levels", CAROL, content, "")[1] == "10.4"
        room.power(by=BOB, users={CAROL: 0})
        assert refusal(room, "m.room.topic", CAROL, {}, "")[0] == "required_level"


@pytest.mark.parametrize(("rule", "first"), [("restricted", 8), ("knock_restricted", 10)])
@pytest.mark.parametrize("version", ROOM_VERSIONS)
def test_a_restricted_join_through_a_member_who_loses_the_power(
    new_room: Callable[..., Room], version: str, rule: str, first: int
) -> None:
    room = new_room(version)
    room.join_rule("public")
    room.member(BOB, "join")
    users = {BOB: 30} if version == "12" else {ALICE: 100, BOB: 30}
    room.power(users=users, invite=30)
    room.join_rule(rule)
    join = {"membership": "join", "join_authorised_via_users_server": BOB}
    if int(version) < first:
        assert refusal(room, "m.room.member", CAROL, join, CAROL)[0] == "member.join.otherwise"
        return
    room.judge("m.room.member", CAROL, join, CAROL)
    room.power(users=users, invite=31)
    assert refusal(room, "m.room.member", CAROL, join, CAROL)[1].endswith(".3.5.2")
    room.power(users=users, invite=30)
    room.member(BOB, "leave")
    assert refusal(room, "m.room.member", CAROL, join, CAROL)[1].endswith(".3.5.2")
