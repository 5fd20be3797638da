"""plexus.protocol.state_resolution: what happens to people where branches meet."""

from __future__ import annotations

import pytest
from plexus.protocol import AuthRejected

from tests.support.making_events import START
from tests.unit.protocol.state_resolution.scenario import (
    ALICE,
    BOB,
    CAROL,
    DAN,
    LEVELS,
    MALLORY,
    RULE,
    TOPIC,
    Scenario,
    member,
)


@pytest.fixture(params=["v1", "v2", "v2.1"])
def any_room(request: pytest.FixtureRequest) -> Scenario:
    return Scenario(request.param)


@pytest.fixture(params=["v2", "v2.1"])
def room(request: pytest.FixtureRequest) -> Scenario:
    return Scenario(request.param)


@pytest.fixture
def old_room() -> Scenario:
    return Scenario("v1")


class TestModeration:
    def test_a_ban_wins_over_what_the_banned_does_meanwhile(self, any_room: Scenario) -> None:
        left, right = any_room.fork()
        left.ban(BOB, by=ALICE)
        right.join(BOB, "Bobby")
        right.topic("spam", by=BOB)
        right.say(by=BOB)
        merged = any_room.merged(left, right)
        assert merged.membership(BOB) == "ban"
        assert merged.topic == "welcome"

    def test_after_the_branches_meet_the_banned_cannot_speak(self, any_room: Scenario) -> None:
        left, right = any_room.fork()
        left.ban(BOB, by=ALICE)
        right.say(by=BOB)
        both = any_room.after(left, right)
        with pytest.raises(AuthRejected):
            both.say(by=BOB)
        both.say(by=CAROL)

    def test_a_clock_turned_back_does_not_help_the_banned(self, room: Scenario) -> None:
        left, right = room.fork()
        left.ban(BOB, by=ALICE)
        right.join(BOB, "Bobby", at=1)
        right.topic("spam", by=BOB, at=1)
        merged = room.merged(left, right)
        assert merged.membership(BOB) == "ban"
        assert merged.topic == "welcome"

    def test_whom_the_banned_invited_meanwhile_is_not_invited(self, room: Scenario) -> None:
        left, right = room.fork()
        left.ban(BOB, by=ALICE)
        right.member(DAN, "invite", by=BOB)
        assert room.merged(left, right).membership(DAN) is None

    def test_of_two_who_ban_each_other_the_one_with_more_power_stays(self, room: Scenario) -> None:
        room.trunk.levels({CAROL: 75}, by=ALICE)
        left, right = room.fork()
        left.ban(BOB, by=CAROL)
        with pytest.raises(AuthRejected):
            right.ban(CAROL, by=BOB)
        right.ban(CAROL, by=ALICE)
        right.kick(BOB, by=ALICE)
        merged = room.merged(left, right)
        # Alice goes first, so Carol was out of the room when her ban came.
        assert merged.membership(CAROL) == "ban"
        assert merged.membership(BOB) == "leave"

    def test_a_kick_and_coming_back_is_a_line(self, room: Scenario) -> None:
        left, right = room.fork()
        left.kick(CAROL, by=BOB)
        left.join(CAROL, "back")
        right.topic("meanwhile", by=BOB)
        merged = room.merged(left, right)
        assert (merged.membership(CAROL), merged.name(CAROL)) == ("join", "back")
        assert merged.topic == "meanwhile"


class TestPower:
    def test_a_demoted_admin_has_done_nothing_meanwhile(self, room: Scenario) -> None:
        left, right = room.fork()
        left.levels({BOB: 0}, by=ALICE)
        right.topic("mine", by=BOB)
        right.levels({CAROL: 50}, by=BOB)
        right.ban(DAN, by=BOB)
        right.topic("Carol's", by=CAROL)
        merged = room.merged(left, right)
        assert (merged.level(BOB), merged.level(CAROL)) == (0, None)
        assert merged.topic == "welcome"
        assert merged.membership(DAN) is None

    def test_of_concurrent_changes_the_more_powerful_goes_first_and_the_other_must_fit(
        self, room: Scenario
    ) -> None:
        left, right = room.fork()
        left.levels({}, by=ALICE, ban=60)
        right.levels({CAROL: 25}, by=BOB)
        # Bob's event would lower the ban level from 60, above his own.
        merged = room.merged(left, right)
        levels = merged[LEVELS]
        assert levels is not None and levels.content["ban"] == 60
        assert merged.level(CAROL) is None

    def test_of_concurrent_changes_that_fit_the_last_stands(self, room: Scenario) -> None:
        left, right = room.fork()
        left.levels({CAROL: 25}, by=ALICE)
        right.levels({DAN: 10}, by=BOB)
        merged = room.merged(left, right)
        assert (merged.level(CAROL), merged.level(DAN)) == (None, 10)

    def test_of_the_same_senders_changes_the_later_stands(self, room: Scenario) -> None:
        left, right = room.fork()
        left.levels({CAROL: 25}, by=ALICE, at=100)
        right.levels({DAN: 10}, by=ALICE, at=99)
        merged = room.merged(left, right)
        assert (merged.level(CAROL), merged.level(DAN)) == (25, None)

    def test_a_creator_of_version_12_goes_before_any_number(self) -> None:
        room = Scenario("v2.1")
        room.trunk.levels({BOB: 2**53 - 1}, by=ALICE)
        left, right = room.fork()
        left.levels({BOB: 0}, by=ALICE, at=200)
        right.levels({CAROL: 2**53 - 1}, by=BOB, at=100)
        merged = room.merged(left, right)
        assert (merged.level(BOB), merged.level(CAROL)) == (0, None)


class TestJoinRules:
    def test_a_closed_door_stays_closed_for_who_joined_meanwhile(self, room: Scenario) -> None:
        left, right = room.fork()
        left.rule("invite", by=ALICE)
        right.join(DAN)
        merged = room.merged(left, right)
        assert merged.rule == "invite"
        assert merged.membership(DAN) is None

    def test_the_first_room_version_takes_what_only_one_branch_has(self, old_room: Scenario) -> None:
        left, right = old_room.fork()
        left.rule("invite", by=ALICE)
        right.join(DAN)
        merged = old_room.merged(left, right)
        assert merged.rule == "invite"
        assert merged.membership(DAN) == "join"

    def test_who_was_in_before_stays(self, room: Scenario) -> None:
        left, right = room.fork()
        left.rule("invite", by=ALICE)
        right.join(CAROL, "Caroline")
        assert room.merged(left, right).name(CAROL) == "Caroline"

    def test_a_restricted_join_falls_with_who_authorised_it(self, room: Scenario) -> None:
        allow = [{"type": "m.room_membership", "room_id": "!other:one"}]
        content = {"join_rule": "restricted", "allow": allow}
        room.trunk.send("m.room.join_rules", ALICE, content, "")
        left, right = room.fork()
        left.ban(BOB, by=ALICE)
        right.member(DAN, "join", join_authorised_via_users_server=BOB)
        assert room.merged(left, right).membership(DAN) is None
        left, right = room.fork()
        left.topic("nothing to do with it", by=ALICE)
        right.member(DAN, "join", join_authorised_via_users_server=BOB)
        assert room.merged(left, right).membership(DAN) == "join"


class TestOrder:
    def test_of_two_topics_the_later_stands(self, room: Scenario) -> None:
        left, right = room.fork()
        left.topic("later", by=BOB, at=100)
        right.topic("earlier", by=ALICE, at=99)
        assert room.merged(left, right).topic == "later"

    def test_of_two_topics_of_one_millisecond_the_greater_event_id_stands(self, room: Scenario) -> None:
        left, right = room.fork()
        topics = [left.topic("left", by=BOB, at=100), right.topic("right", by=BOB, at=100)]
        last = max(topics, key=lambda event: event.event_id)
        assert room.merged(left, right).topic == last.content["topic"]

    def test_a_clock_put_forward_does_not_beat_newer_power_levels(self, room: Scenario) -> None:
        left, right = room.fork()
        left.topic("from the future", by=BOB, at=1_000_000)
        right.levels({CAROL: 10}, by=ALICE)
        right.topic("now", by=BOB)
        # In v2.1 the power levels are in conflict too, so there is a mainline in both.
        assert room.merged(left, right).topic == "now"

    def test_in_v2_1_agreed_power_levels_give_no_mainline(self) -> None:
        """The partially resolved state begins empty, and power levels that nobody disputes are not in it."""
        topics = {}
        for algorithm in ("v2", "v2.1"):
            room = Scenario(algorithm)
            old = room.trunk.topic("old, with a clock put forward", by=BOB, at=1_000_000)
            room.trunk.levels({CAROL: 10}, by=ALICE)
            room.trunk.topic("new", by=BOB)
            topics[algorithm] = room.merged(room.trunk.now, room.trunk.now.but(old)).topic
        assert topics == {"v2": "new", "v2.1": "old, with a clock put forward"}


class TestStateResets:
    def test_v1_forgets_a_chain_of_promotions_and_v2_does_not(self) -> None:
        """Alice promotes Bob, Bob promotes Carol, Carol promotes Dan; the other branch knows none of it."""
        levels = {}
        for algorithm in ("v1", "v2", "v2.1"):
            room = Scenario(algorithm)
            left, right = room.fork()
            left.levels({BOB: 75}, by=ALICE)
            left.levels({CAROL: 60}, by=BOB)
            left.levels({DAN: 55}, by=CAROL)
            right.topic("meanwhile", by=ALICE)
            levels[algorithm] = room.merged(left, right).level(DAN)
        assert levels == {"v1": None, "v2": 55, "v2.1": 55}

    def test_who_left_for_good_is_not_back(self, room: Scenario) -> None:
        """Leave, join, leave; the other branch has the first leave."""
        room.trunk.leave(CAROL)
        left, right = room.fork()
        left.join(CAROL, "again")
        left.leave(CAROL)
        right.topic("meanwhile", by=ALICE)
        merged = room.merged(left, right)
        assert merged.membership(CAROL) == "leave"
        assert merged[member(CAROL)] == left.now[member(CAROL)]

    def test_v1_brings_back_who_left(self, old_room: Scenario) -> None:
        """Three branches: she joined again, and left again; the shallow leave stands under the join."""
        old_room.trunk.leave(CAROL)
        left, right = old_room.fork()
        left.join(CAROL, "again")
        joined = left.now
        left.leave(CAROL)
        merged = old_room.merged(old_room.merged(left, right), joined)
        assert merged.membership(CAROL) == "join"

    def test_an_unconflicted_state_that_forbids_conflicting_events(self) -> None:
        """MSC4297, problem A: Alice set the join rules twice and left. A server has the first ones still."""
        rules = {}
        for algorithm in ("v2", "v2.1"):
            room = Scenario(algorithm)
            room.trunk.levels({BOB: 100}, by=ALICE)
            stale = room.trunk.now[RULE]
            room.trunk.rule("invite", by=ALICE)
            room.trunk.leave(ALICE)
            assert stale is not None
            rules[algorithm] = room.merged(room.trunk.now, room.trunk.now.but(stale)).rule
        assert rules == {"v2": None, "v2.1": "invite"}

    def test_events_between_conflicting_ones_are_needed(self) -> None:
        """MSC4297, problem B: Alice promoted Bob, who promoted Carol. A server has the power levels from
        before, but members whose events come after.
        """
        levels = {}
        for algorithm in ("v2", "v2.1"):
            room = Scenario(algorithm)
            stale = room.trunk.now[LEVELS]
            room.trunk.levels({BOB: 90}, by=ALICE)
            room.trunk.levels({CAROL: 80}, by=BOB)
            room.trunk.levels({DAN: 70}, by=CAROL)
            room.trunk.join(DAN)
            assert stale is not None
            levels[algorithm] = room.merged(room.trunk.now, room.trunk.now.but(stale)).level(DAN)
        assert levels == {"v2": None, "v2.1": 70}


class TestForgery:
    def test_a_rejected_event_does_not_authorise(self, room: Scenario) -> None:
        """Mallory, a member without power, makes power levels of her own and a topic that cites them."""
        room.trunk.join(MALLORY)
        left, right = room.fork()
        left.topic("true", by=BOB)
        graph, state = room.graph, right.now
        forged = graph.send(
            "m.room.power_levels", MALLORY, {"users": {MALLORY: 100}}, "", after=right.tips, judged=False
        )
        after, believed = (forged.event_id,), state.but(forged).entries
        ts = START + 1_000_000
        taken = graph.send(
            "m.room.topic", MALLORY, {"topic": "taken"}, "", after=after, ts=ts, state=believed
        )
        claimed = state.but(taken)
        assert room.merged(left, claimed, rejected=frozenset((forged.event_id,))).topic == "true"
        if graph.version.state_resolution == "v2.1":
            # It starts from nothing: if nobody had rejected the forged event, the topic would stand on it.
            assert room.merged(left, claimed).topic == "taken"

    def test_an_old_event_of_a_demoted_one_is_refused_where_power_levels_are_known(self) -> None:
        room = Scenario("v2")
        old = room.trunk.topic("old", by=BOB)
        room.trunk.levels({BOB: 0}, by=ALICE)
        room.trunk.topic("new", by=ALICE)
        assert room.merged(room.trunk.now, room.trunk.now.but(old)).topic == "new"

    def test_a_place_can_be_lost(self, room: Scenario) -> None:
        """The only topics are of somebody who had no right to them."""
        left, right = room.fork()
        left.ban(BOB, by=ALICE)
        right.topic("spam", by=BOB)
        merged = room.merged(left.now.but(without=(TOPIC,)), right)
        assert merged.topic is None
        assert TOPIC not in merged.entries
