"""plexus.protocol.auth_rules: scenarios in every room version."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from plexus.protocol import (
    ROOM_VERSIONS,
    AuthRejected,
    Draft,
    Event,
    PowerLevels,
    SigningKey,
    auth_types_for_event,
    check_auth,
    check_auth_events,
    get_room_version,
    may_redact,
    sign_json,
)
from plexus.protocol.auth_rules import may_redact_locally

if TYPE_CHECKING:
    from tests.unit.protocol.conftest import Room

ALICE, BOB, CAROL, MALLORY = "@alice:one", "@bob:two", "@carol:three", "@mallory:evil"


def no_state(event_type: str, state_key: str) -> None:
    return None


MESSAGE: dict[str, Any] = {"msgtype": "m.text", "body": "hi"}


def rejected(rule: str) -> Any:
    """The next act is rejected by the rule of this name."""

    class _Rejection:
        def __enter__(self) -> None:
            self.raises = pytest.raises(AuthRejected)
            self.info = self.raises.__enter__()

        def __exit__(self, *exception: Any) -> bool:
            caught = self.raises.__exit__(*exception)
            assert self.info.value.name == rule, str(self.info.value)
            return caught

    return _Rejection()


class TestTalking:
    def test_members_talk_and_strangers_do_not(self, busy_room: Room) -> None:
        busy_room.send("m.room.message", CAROL, MESSAGE)
        with rejected("sender"):
            busy_room.judge("m.room.message", MALLORY, MESSAGE)

    def test_state_needs_power(self, busy_room: Room) -> None:
        busy_room.send("m.room.topic", BOB, {"topic": "x"}, state_key="")
        with rejected("required_level"):
            busy_room.judge("m.room.topic", CAROL, {"topic": "x"}, state_key="")
        # The same type without a state key is a message.
        busy_room.judge("m.room.topic", CAROL, {"topic": "x"})

    def test_a_type_may_have_a_level_of_its_own(self, busy_room: Room) -> None:
        users = busy_room.state["m.room.power_levels", ""].content["users"]
        busy_room.power(users=users, events={"m.room.message": 51, "m.room.topic": 0})
        busy_room.judge("m.room.topic", CAROL, {"topic": "x"}, state_key="")
        with rejected("required_level"):
            busy_room.judge("m.room.message", BOB, MESSAGE)

    def test_state_of_a_user_is_that_users(self, busy_room: Room) -> None:
        users = busy_room.state["m.room.power_levels", ""].content["users"]
        busy_room.power(users=users, state_default=0)
        busy_room.judge("org.example.status", CAROL, {}, state_key=CAROL)
        with rejected("state_key"):
            busy_room.judge("org.example.status", ALICE, {}, state_key=CAROL)

    def test_an_event_of_another_room_is_refused(self, busy_room: Room) -> None:
        draft = Draft("m.room.message", ALICE, MESSAGE, "!other:one", None, busy_room.tip)
        with rejected("room" if busy_room.version.room_id_is_create_event_hash else "auth_events.room_id"):
            check_auth(busy_room.version, draft, busy_room.lookup, create=busy_room.create)

    @pytest.mark.parametrize("version", ROOM_VERSIONS)
    def test_an_unfederated_room_is_for_one_server(self, new_room: Callable[..., Room], version: str) -> None:
        room = new_room(version, **{"m.federate": False})
        room.join_rule("public")
        room.member("@anna:one", "join")
        with rejected("federate"):
            room.judge("m.room.member", BOB, {"membership": "join"}, BOB)

    def test_a_redaction_is_an_event_like_others(self, busy_room: Room) -> None:
        # Of whose event it is nobody asks; in versions 1 and 2 only of whose server.
        busy_room.send("m.room.redaction", CAROL, {}, redacts="$any:three")
        with rejected("sender"):
            busy_room.judge("m.room.redaction", MALLORY, {})


class TestCreating:
    def draft(self, version: str, **changes: Any) -> Draft:
        rules = get_room_version(version)
        content = {"room_version": version, **({"creator": ALICE} if rules.auth.create_needs_creator else {})}
        given: dict[str, Any] = {
            "type": "m.room.create",
            "sender": ALICE,
            "content": {**content, **changes.pop("content", {})},
            "room_id": None if rules.room_id_is_create_event_hash else "!r:one",
            "state_key": "",
        }
        return Draft(**{**given, **changes})

    def judge(self, version: str, **changes: Any) -> None:
        draft = self.draft(version, **changes)
        check_auth(get_room_version(version), draft, no_state, create=None)

    @pytest.mark.parametrize("version", ROOM_VERSIONS)
    def test_good_and_bad(self, version: str) -> None:
        self.judge(version)
        self.judge(version, content={"room_version": None})
        with rejected("create.prev_events"):
            self.judge(version, prev_events=("$x",))
        for unknown in ("99", 12, ["12"]):
            with rejected("create.room_version"):
                self.judge(version, content={"room_version": unknown})

    def test_the_room_id_is_of_the_senders_server_or_absent(self) -> None:
        for version, room_id in (("1", "!r:two"), ("10", "!r:two"), ("11", None), ("12", "!r:one")):
            with rejected("create.room_id"):
                self.judge(version, room_id=room_id)

    def test_up_to_version_10_the_creator_is_named(self) -> None:
        draft = Draft("m.room.create", ALICE, {}, "!r:one", "")
        for version in ("1", "10"):
            with rejected("create.creator"):
                check_auth(get_room_version(version), draft, no_state, create=None)
        check_auth(get_room_version("11"), draft, no_state, create=None)

    def test_additional_creators_are_user_ids(self) -> None:
        self.judge("12", content={"additional_creators": [BOB]})
        for wrong in (None, BOB, ["bob"], [1], {BOB: 1}):
            with rejected("create.additional_creators"):
                self.judge("12", content={"additional_creators": wrong})
            self.judge("11", content={"additional_creators": wrong})

    def test_the_first_join_needs_no_rule_but_only_the_creators(self, new_room: Callable[..., Room]) -> None:
        for version in ROOM_VERSIONS:
            room = new_room(version)
            del room.state["m.room.member", ALICE]
            assert room.create is not None
            first = (room.create.event_id,)
            join = {"membership": "join"}
            for user, prev_events, allowed in (
                (ALICE, first, True),
                (ALICE, ("$x",), False),
                (BOB, first, False),
            ):
                draft = Draft("m.room.member", user, join, room.room_id, user, prev_events)
                if allowed:
                    check_auth(room.version, draft, room.lookup, create=room.create)
                else:
                    with rejected("member.join.invite"):
                        check_auth(room.version, draft, room.lookup, create=room.create)


class TestJoining:
    def test_the_invited_join_a_private_room(self, public_room: Room) -> None:
        public_room.join_rule("invite")
        with rejected("member.join.invite"):
            public_room.judge("m.room.member", BOB, {"membership": "join"}, BOB)
        public_room.member(BOB, "invite", by=ALICE)
        public_room.member(BOB, "join")

    def test_without_a_join_rule_a_room_is_private(self, public_room: Room) -> None:
        del public_room.state["m.room.join_rules", ""]
        with rejected("member.join.invite"):
            public_room.judge("m.room.member", BOB, {"membership": "join"}, BOB)

    @pytest.mark.parametrize("rule", ["private", "org.example", 5])
    def test_rules_nobody_knows_let_nobody_in(self, public_room: Room, rule: Any) -> None:
        public_room.join_rule(rule)
        with rejected("member.join.otherwise"):
            public_room.judge("m.room.member", BOB, {"membership": "join"}, BOB)

    def test_nobody_joins_for_another_and_the_banned_stay_out(self, public_room: Room) -> None:
        with rejected("member.join.sender"):
            public_room.judge("m.room.member", ALICE, {"membership": "join"}, BOB)
        public_room.member(MALLORY, "ban", by=ALICE)
        with rejected("member.join.banned"):
            public_room.judge("m.room.member", MALLORY, {"membership": "join"}, MALLORY)

    @pytest.mark.parametrize("rule", ["restricted", "knock_restricted"])
    def test_a_restricted_join_needs_a_member_who_may_invite(self, busy_room: Room, rule: str) -> None:
        users = busy_room.state["m.room.power_levels", ""].content["users"]
        busy_room.power(users=users, invite=50)
        busy_room.join_rule(rule)
        is_known = rule in busy_room.version.auth.restricted_join_rules
        for authoriser in (None, 5, MALLORY, CAROL):
            content = {"membership": "join", "join_authorised_via_users_server": authoriser}
            with rejected("member.join.restricted.authoriser" if is_known else "member.join.otherwise"):
                busy_room.judge("m.room.member", "@new:four", content, "@new:four")
        if not is_known:
            with rejected("member.join.otherwise"):
                busy_room.member("@new:four", "join", join_authorised_via_users_server=BOB)
            return
        busy_room.member("@new:four", "join", join_authorised_via_users_server=BOB)
        # Who is in, or invited, needs nobody.
        busy_room.member("@new:four", "join", displayname="x")
        busy_room.member("@other:four", "invite", by=BOB)
        busy_room.member("@other:four", "join")

    @pytest.mark.parametrize(("rule", "since"), [("knock", 7), ("knock_restricted", 10), ("invite", 99)])
    def test_knocking(self, public_room: Room, rule: str, since: int) -> None:
        public_room.join_rule(rule)
        knock = {"membership": "knock"}
        number = int(public_room.version.identifier)
        if number < since:
            with rejected("member.otherwise" if number < 7 else "member.knock.join_rule"):
                public_room.judge("m.room.member", BOB, knock, BOB)
            return
        with rejected("member.knock.sender"):
            public_room.judge("m.room.member", ALICE, knock, BOB)
        public_room.member(BOB, "knock")
        public_room.member(BOB, "leave")
        public_room.member(BOB, "knock")
        public_room.member(BOB, "invite", by=ALICE)
        with rejected("member.knock.otherwise"):
            public_room.judge("m.room.member", BOB, knock, BOB)

    @pytest.mark.parametrize("content", [{}, {"membership": None}])
    def test_a_membership_is_needed(self, public_room: Room, content: dict[str, Any]) -> None:
        with rejected("member.malformed"):
            public_room.judge("m.room.member", BOB, content, BOB)
        with rejected("member.malformed"):
            public_room.judge("m.room.member", BOB, {"membership": "join"})
        for unknown in ("dance", 5, ["join"]):
            with rejected("member.otherwise"):
                public_room.judge("m.room.member", BOB, {"membership": unknown}, BOB)


class TestInviting:
    def test_who_may_invite_whom(self, busy_room: Room) -> None:
        invite = {"membership": "invite"}
        with rejected("member.invite.sender"):
            busy_room.judge("m.room.member", MALLORY, invite, "@new:four")
        busy_room.judge("m.room.member", CAROL, invite, "@new:four")
        users = busy_room.state["m.room.power_levels", ""].content["users"]
        busy_room.power(users=users, invite=50)
        with rejected("member.invite.otherwise"):
            busy_room.judge("m.room.member", CAROL, invite, "@new:four")
        busy_room.judge("m.room.member", BOB, invite, "@new:four")
        with rejected("member.invite.target"):
            busy_room.judge("m.room.member", BOB, invite, CAROL)
        busy_room.member(MALLORY, "ban", by=ALICE)
        with rejected("member.invite.target"):
            busy_room.judge("m.room.member", BOB, invite, MALLORY)

    def signed(self, key: SigningKey, **content: Any) -> dict[str, Any]:
        signed = sign_json({"mxid": "@new:four", "token": "tok", **content}, "identity", key)
        return {"membership": "invite", "third_party_invite": {"display_name": "n", "signed": signed}}

    @pytest.mark.parametrize("listed", [True, False])
    def test_third_party_invites_are_vouched_for_by_a_signature(self, busy_room: Room, listed: bool) -> None:
        key = SigningKey("ed25519:0", b"i" * 32)
        public = key.verify_key.to_base64()
        keys = {"public_keys": [{"public_key": public}]} if listed else {"public_key": public}
        busy_room.send("m.room.third_party_invite", BOB, {"display_name": "n", **keys}, state_key="tok")
        busy_room.judge("m.room.member", BOB, self.signed(key), "@new:four")
        with rejected("member.invite.third_party.mxid"):
            busy_room.judge("m.room.member", BOB, self.signed(key), "@another:four")
        with rejected("member.invite.third_party.token"):
            busy_room.judge("m.room.member", BOB, self.signed(key, token="x"), "@new:four")
        with rejected("member.invite.third_party.sender"):
            busy_room.judge("m.room.member", CAROL, self.signed(key), "@new:four")
        with rejected("member.invite.third_party.otherwise"):
            other = SigningKey("ed25519:0", b"x" * 32)
            busy_room.judge("m.room.member", BOB, self.signed(other), "@new:four")
        with rejected("member.invite.third_party.malformed"):
            busy_room.judge("m.room.member", BOB, self.signed(key, token=None), "@new:four")
        with rejected("member.invite.third_party.not_signed"):
            busy_room.judge(
                "m.room.member", BOB, {"membership": "invite", "third_party_invite": {}}, "@new:four"
            )
        busy_room.member("@new:four", "ban", by=BOB)
        with rejected("member.invite.third_party.banned"):
            busy_room.judge("m.room.member", BOB, self.signed(key), "@new:four")

    def test_inviting_by_third_party_needs_the_invite_level(self, busy_room: Room) -> None:
        users = busy_room.state["m.room.power_levels", ""].content["users"]
        # State events need 50, but this one only needs the invite level.
        busy_room.judge("m.room.third_party_invite", CAROL, {}, "tok")
        busy_room.power(users=users, invite=1)
        with rejected("third_party_invite.level"):
            busy_room.judge("m.room.third_party_invite", CAROL, {}, "tok")


class TestLeavingAndBanning:
    def test_leaving_is_free_for_those_who_are_in(self, busy_room: Room) -> None:
        busy_room.member(CAROL, "leave")
        with rejected("member.leave.own"):
            busy_room.judge("m.room.member", CAROL, {"membership": "leave"}, CAROL)
        busy_room.member("@new:four", "invite", by=BOB)
        busy_room.member("@new:four", "leave")

    def test_kicking_goes_down_only(self, busy_room: Room) -> None:
        leave = {"membership": "leave"}
        busy_room.judge("m.room.member", BOB, leave, CAROL)
        for target in (ALICE, BOB):
            with rejected("member.leave.otherwise"):
                busy_room.judge("m.room.member", CAROL, leave, target)
        with rejected("member.leave.otherwise"):
            busy_room.judge("m.room.member", BOB, leave, ALICE)
        busy_room.power(users={**busy_room.state["m.room.power_levels", ""].content["users"], CAROL: 50})
        with rejected("member.leave.otherwise"):
            busy_room.judge("m.room.member", BOB, leave, CAROL)
        with rejected("member.leave.sender"):
            busy_room.judge("m.room.member", MALLORY, leave, CAROL)

    def test_a_ban_wins_over_invites_and_joins_until_lifted(self, busy_room: Room) -> None:
        busy_room.member(CAROL, "ban", by=BOB)
        for content, rule in (
            ({"membership": "join"}, "member.join.banned"),
            ({"membership": "leave"}, "member.leave.own"),
        ):
            with rejected(rule):
                busy_room.judge("m.room.member", CAROL, content, CAROL)
        with rejected("sender"):
            busy_room.judge("m.room.message", CAROL, MESSAGE)
        busy_room.member(CAROL, "leave", by=BOB)
        busy_room.member(CAROL, "join")

    def test_lifting_a_ban_needs_the_ban_level_too(self, busy_room: Room) -> None:
        users = busy_room.state["m.room.power_levels", ""].content["users"]
        busy_room.power(users=users, ban=60)
        busy_room.member(CAROL, "ban", by=ALICE)
        with rejected("member.leave.banned"):
            busy_room.judge("m.room.member", BOB, {"membership": "leave"}, CAROL)

    def test_banning_goes_down_only(self, busy_room: Room) -> None:
        ban = {"membership": "ban"}
        busy_room.judge("m.room.member", BOB, ban, MALLORY)
        for sender, target in ((BOB, ALICE), (BOB, BOB), (CAROL, MALLORY)):
            with rejected("member.ban.otherwise"):
                busy_room.judge("m.room.member", sender, ban, target)
        with rejected("member.ban.sender"):
            busy_room.judge("m.room.member", MALLORY, ban, CAROL)


class TestPower:
    def attempt(self, room: Room, sender: str, **changes: Any) -> None:
        current = room.state["m.room.power_levels", ""].content
        content = {key: value for key, value in {**current, **changes}.items() if value is not ...}
        room.judge("m.room.power_levels", sender, content, "")

    def users(self, room: Room) -> dict[str, int]:
        return dict(room.state["m.room.power_levels", ""].content["users"])

    def test_nobody_gives_more_than_they_have(self, busy_room: Room) -> None:
        users = self.users(busy_room)
        self.attempt(busy_room, BOB, users={**users, CAROL: 50})
        with rejected("power_levels.users_after.level"):
            self.attempt(busy_room, BOB, users={**users, CAROL: 51})
        with rejected("power_levels.users_after.level"):
            self.attempt(busy_room, BOB, users={**users, BOB: 51})
        with rejected("required_level"):
            self.attempt(busy_room, CAROL, users={**users, CAROL: 1})

    def test_equals_are_out_of_reach_but_one_may_step_down(self, busy_room: Room) -> None:
        users = {**self.users(busy_room), CAROL: 50}
        busy_room.power(users=users)
        with rejected("power_levels.users_before.level"):
            self.attempt(busy_room, BOB, users={**users, CAROL: 0})
        with rejected("power_levels.users_before.level"):
            self.attempt(
                busy_room, BOB, users={user: level for user, level in users.items() if user != CAROL}
            )
        self.attempt(busy_room, BOB, users={**users, BOB: 0})

    def test_levels_move_only_below_ones_own(self, busy_room: Room) -> None:
        users = self.users(busy_room)
        busy_room.power(users=users, ban=60, events={"m.room.name": 60}, notifications={"room": 20})
        for changes, rule in (
            ({"kick": 51}, "power_levels.levels.after"),
            ({"ban": 50}, "power_levels.levels.before"),
            ({"ban": ...}, "power_levels.levels.before"),
            ({"users_default": 51}, "power_levels.levels.after"),
            ({"events": {"m.room.name": 50}}, "power_levels.entries_before.level"),
            ({"events": {}}, "power_levels.entries_before.level"),
            ({"events": {"m.room.name": 60, "m.room.topic": 51}}, "power_levels.entries_after.level"),
        ):
            with rejected(rule):
                self.attempt(busy_room, BOB, **changes)
        if int(busy_room.version.identifier) < 6:
            self.attempt(busy_room, BOB, notifications={"room": 51})
        else:
            with rejected("power_levels.entries_after.level"):
                self.attempt(busy_room, BOB, notifications={"room": 51})
        self.attempt(
            busy_room, BOB, kick=50, notifications={}, events={"m.room.name": 60, "m.room.topic": 50}
        )

    @pytest.mark.parametrize(
        ("changes", "rule", "since"),
        [
            ({"ban": "50"}, "level_shapes", 10),
            ({"ban": None}, "level_shapes", 10),
            ({"invite": 1.5}, "level_shapes", 10),
            ({"kick": True}, "level_shapes", 10),
            ({"events": {"m.room.name": "50"}}, "entry_shapes", 10),
            ({"events": []}, "entry_shapes", 10),
            ({"notifications": {"room": None}}, "entry_shapes", 10),
            ({"users": {BOB: "50"}}, "users", 10),
            ({"users": {BOB: 50.5}}, "users", 6),
            ({"users": {BOB: "50.5"}}, "users", 1),
            ({"users": {BOB: None}}, "users", 1),
            ({"users": []}, "users", 1),
            ({"users": {"bob": 50}}, "users", 1),
        ],
    )
    def test_levels_are_integers(
        self, new_room: Callable[..., Room], changes: dict[str, Any], rule: str, since: int
    ) -> None:
        for version in ROOM_VERSIONS:
            room = new_room(version)
            if int(version) >= since:
                with rejected(f"power_levels.{rule}"):
                    room.judge("m.room.power_levels", ALICE, changes, "")
            else:
                room.judge("m.room.power_levels", ALICE, changes, "")

    def test_the_first_power_levels_are_free(self, new_room: Callable[..., Room]) -> None:
        for version in ("1", "10", "11"):
            room = new_room(version)
            room.power(users={ALICE: 5}, state_default=7)
            with rejected("required_level"):
                room.join_rule("public")

    def test_creators_of_version_12_are_beyond_numbers(self, new_room: Callable[..., Room]) -> None:
        room = new_room("12", additional_creators=[BOB])
        room.member(BOB, "invite", by=ALICE)
        room.member(BOB, "join")
        for creator in (ALICE, BOB):
            with rejected("power_levels.creators"):
                room.judge("m.room.power_levels", ALICE, {"users": {creator: 100}}, "")
        room.power(users={CAROL: 2**53 - 1}, events={"m.room.topic": 2**53 - 1}, state_default=2**53 - 1)
        room.join_rule("public", by=BOB)
        room.member(CAROL, "join")
        room.judge("m.room.topic", BOB, {"topic": "x"}, "")
        with rejected("member.leave.otherwise"):
            room.judge("m.room.member", CAROL, {"membership": "leave"}, ALICE)
        # Creators are equals: none can ban the other.
        with rejected("member.ban.otherwise"):
            room.judge("m.room.member", ALICE, {"membership": "ban"}, BOB)
        room.judge("m.room.member", BOB, {"membership": "ban"}, CAROL)

    def test_older_creators_lose_their_power_with_the_event(self, new_room: Callable[..., Room]) -> None:
        for version in ("1", "11"):
            room = new_room(version)
            room.power(users={})
            with rejected("required_level"):
                room.judge("m.room.power_levels", ALICE, {"users": {ALICE: 100}}, "")


class TestRedacting:
    def test_by_level_or_by_server(self, busy_room: Room) -> None:
        current = busy_room.state["m.room.power_levels", ""]
        assert busy_room.create is not None
        power = PowerLevels.of(busy_room.version, current.content, busy_room.create)
        assert may_redact(power, BOB, CAROL)
        assert may_redact(power, CAROL, CAROL)
        assert may_redact(power, CAROL, "@neighbour:three")
        assert not may_redact(power, CAROL, BOB)
        assert may_redact_locally(power, CAROL, CAROL)
        assert may_redact_locally(power, BOB, CAROL)
        assert not may_redact_locally(power, CAROL, "@neighbour:three")


class TestSelection:
    def test_a_message(self) -> None:
        base = [("m.room.power_levels", ""), ("m.room.member", ALICE)]
        assert auth_types_for_event(get_room_version("12"), "m.room.message", None, ALICE, {}) == base
        assert auth_types_for_event(get_room_version("11"), "m.room.message", None, ALICE, {}) == [
            ("m.room.create", ""),
            *base,
        ]
        assert auth_types_for_event(get_room_version("11"), "m.room.create", "", ALICE, {}) == []

    @pytest.mark.parametrize(
        ("content", "more"),
        [
            ({"membership": "join"}, [("m.room.join_rules", "")]),
            ({"membership": "knock"}, [("m.room.join_rules", "")]),
            ({"membership": "leave"}, []),
            ({"membership": "ban", "join_authorised_via_users_server": CAROL}, []),
            (
                {"membership": "join", "join_authorised_via_users_server": CAROL},
                [("m.room.join_rules", ""), ("m.room.member", CAROL)],
            ),
            (
                {"membership": "invite", "third_party_invite": {"signed": {"token": "t"}}},
                [("m.room.join_rules", ""), ("m.room.third_party_invite", "t")],
            ),
            ({"membership": "invite", "third_party_invite": 5}, [("m.room.join_rules", "")]),
            ({"membership": 5}, []),
        ],
    )
    def test_memberships(self, content: dict[str, Any], more: list[tuple[str, str]]) -> None:
        selected = auth_types_for_event(get_room_version("12"), "m.room.member", BOB, ALICE, content)
        assert selected == [
            ("m.room.power_levels", ""),
            ("m.room.member", ALICE),
            ("m.room.member", BOB),
            *more,
        ]

    def cited(self, room: Room, event: Event) -> list[Event]:
        by_id = {each.event_id: each for each in room.state.values()}
        return [by_id[event_id] for event_id in event.auth_events]

    def test_events_cite_what_authorises_them(self, busy_room: Room) -> None:
        event = busy_room.send("m.room.message", CAROL, MESSAGE)
        cited = self.cited(busy_room, event)
        check_auth_events(busy_room.version, event, cited, lambda event_id: False)
        with rejected("auth_events.duplicate"):
            check_auth_events(busy_room.version, event, [*cited, cited[0]], lambda event_id: False)
        with rejected("auth_events.not_selected"):
            stranger = busy_room.state["m.room.member", BOB]
            check_auth_events(busy_room.version, event, [*cited, stranger], lambda event_id: False)
        with rejected("auth_events.rejected"):
            check_auth_events(
                busy_room.version, event, cited, lambda event_id: event_id == cited[-1].event_id
            )

    def test_the_create_event_is_cited_before_12_only(self, busy_room: Room) -> None:
        event = busy_room.send("m.room.message", CAROL, MESSAGE)
        create = busy_room.create
        assert create is not None
        others = [each for each in self.cited(busy_room, event) if each is not create]
        if not busy_room.version.auth.create_in_auth_events:
            with rejected("auth_events.not_selected"):
                check_auth_events(busy_room.version, event, [create, *others], lambda event_id: False)
        else:
            with rejected("auth_events.no_create"):
                check_auth_events(busy_room.version, event, others, lambda event_id: False)

    def test_of_another_room(self, busy_room: Room, new_room: Callable[..., Room]) -> None:
        event = busy_room.send("m.room.message", ALICE, MESSAGE)
        other = new_room(busy_room.version.identifier, CAROL)
        other.join_rule("public", by=CAROL)
        foreign = other.member(ALICE, "join")
        cited = [each for each in self.cited(busy_room, event) if each.type != "m.room.member"]
        with rejected("auth_events.room_id"):
            check_auth_events(busy_room.version, event, [*cited, foreign], lambda event_id: False)
