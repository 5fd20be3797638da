"""The write path: messages, state, transaction ids, and what is refused before anything is written."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from plexus.platform.lanes import ROOM, RoomFact
from plexus.platform.postgres import StoreUnavailable
from plexus.protocol.errors import (
    AuthRejected,
    BadJson,
    InvalidParam,
    LimitExceeded,
    MatrixError,
    NotFound,
    TooLarge,
    Unavailable,
)
from plexus.rooms import NewEvent, Rooms, Txn, Written, announcing, events_of

from tests.integration.rooms.conftest import (
    ALICE,
    BOB,
    CAROL,
    MakeRooms,
    TestGround,
    first_events,
    join,
    make_room,
    member,
    message,
    state,
)

VERSIONS = ("1", "3", "10", "11", "12")


def txn(user_id: str, txn_id: str, device: str = "DEVICE") -> Txn:
    return Txn(user_id, device, "send", txn_id)


async def bodies(rooms: Rooms, room_id: str) -> list[Any]:
    """The messages of a room, oldest first."""
    page = await rooms.timeline(room_id, backwards=False, limit=1000)
    return [event.content["body"] for event in page.events if event.type == "m.room.message"]


async def events_in(rooms: Rooms, room_id: str) -> int:
    return len((await rooms.timeline(room_id, limit=1000)).events)


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_message_is_written_published_and_marked(
    rooms: Rooms, ground: TestGround, version: str
) -> None:
    room_id = await make_room(rooms, version=version)
    before = await rooms.room(room_id)
    written = await rooms.send(room_id, ALICE, message("hello"))
    after = await rooms.room(room_id)
    assert before is not None and after is not None
    assert (written.lane, written.replayed) == (ground.lanes.room(room_id), False)
    assert after.head_position == written.position == before.head_position + 1
    assert (after.head_ordinal, after.version) == (before.head_ordinal + 1, before.version + 1)
    assert after.snapshot == before.snapshot

    event = await rooms.event(room_id, written.event_id, viewer=ALICE)
    assert event.content == {"msgtype": "m.text", "body": "hello"}
    assert event.event.event_id == written.event_id
    assert event.event.prev_events == ((await rooms.state_event(room_id, "m.room.join_rules", "")).event_id,)  # type: ignore[union-attr]

    await asyncio.sleep(0)  # the fan-out hands on in the next turn of the loop
    [fact] = ground.groups[-1].facts
    assert (fact.position, fact.kind, fact.subject) == (written.position, RoomFact.EVENTS, room_id)
    assert (fact.lo, fact.hi) == (after.head_ordinal, after.head_ordinal)
    [ridden] = events_of(after.ref, fact.body or b"")
    assert (ridden.raw, ridden.num, ridden.snap_after) == (event.raw, event.num, event.snap_after)
    assert await ground.marks.get(ALICE) == {(ROOM, written.lane): written.position}
    facts = await ground.log.facts_of("r", written.lane, room_id, written.position - 1, written.position)
    assert [(f.position, f.lo, f.hi) for f in facts] == [(fact.position, fact.lo, fact.hi)]


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_events_of_a_room_verify(rooms: Rooms, ground: TestGround, version: str) -> None:
    """Hashes, signatures and auth events are those that any other server would accept."""
    from plexus.protocol.auth_rules import check_auth, check_auth_events
    from plexus.protocol.events import Event
    from plexus.protocol.hashes import check_content_hash
    from plexus.protocol.room_versions import ROOM_VERSIONS
    from plexus.protocol.signatures import verify_event

    room_id = await make_room(rooms, version=version)
    await join(rooms, room_id, BOB)
    await rooms.send(room_id, BOB, message("one"))
    await rooms.send(room_id, ALICE, state("m.room.topic", topic="two"))
    rules = ROOM_VERSIONS[version]
    events = (await rooms.timeline(room_id, backwards=False, limit=100)).events
    by_id = {event.event_id: event.event for event in events}
    current: dict[tuple[str, str], Event] = {}
    for depth, stored in enumerate(events, start=1):
        event = stored.event
        again = Event.from_pdu(rules, event.pdu())
        assert (again.event_id, again.raw, again.room_id) == (event.event_id, event.raw, room_id)
        check_content_hash(event.pdu())
        verify_event(rules, event.pdu(), "here.example.org", "ed25519:1", ground.keys.current().verify_key)
        check_auth_events(rules, event, [by_id[i] for i in event.auth_events], lambda _: False)
        check_auth(rules, event, lambda t, k: current.get((t, k)), create=current.get(("m.room.create", "")))
        assert event.depth == depth
        assert event.prev_events == (() if depth == 1 else (events[depth - 2].event_id,))
        if event.state_key is not None:
            current[event.key] = event


async def test_sends_at_once_become_one_chain(rooms: Rooms, ground: TestGround) -> None:
    room_id = await make_room(rooms)
    published = len(ground.groups)
    sent = await asyncio.gather(*(rooms.send(room_id, ALICE, message(str(n))) for n in range(50)))
    await asyncio.sleep(0)
    assert len({written.event_id for written in sent}) == 50
    assert await bodies(rooms, room_id) == [str(n) for n in range(50)]
    assert len(ground.groups) - published <= 2


async def test_rooms_of_one_lane_share_a_commit(rooms: Rooms, ground: TestGround) -> None:
    made = [await make_room(rooms, version="11") for _ in range(80)]
    lanes: dict[int, list[str]] = {}
    for room_id in made:
        lanes.setdefault(ground.lanes.room(room_id), []).append(room_id)
    room_ids = max(lanes.values(), key=len)
    assert len(room_ids) >= 3
    # They become ready in one turn of the loop, so they share one call.
    await asyncio.gather(*(rooms.send(r, ALICE, message("warm")) for r in room_ids))
    published = len(ground.groups)
    await asyncio.gather(*(rooms.send(r, ALICE, message("together")) for r in room_ids))
    await asyncio.sleep(0)
    groups = ground.groups[published:]
    assert len(groups) == 1
    assert len(groups[0].facts) == len(room_ids)
    for room_id in room_ids:
        assert await bodies(rooms, room_id) == ["warm", "together"]


class TestTransactionIds:
    async def test_a_retry_to_the_same_process(self, rooms: Rooms) -> None:
        room_id = await make_room(rooms)
        first = await rooms.send(room_id, ALICE, message("once"), txn=txn(ALICE, "1"))
        again = await rooms.send(room_id, ALICE, message("once"), txn=txn(ALICE, "1"))
        assert (again.event_id, again.replayed) == (first.event_id, True)
        assert await bodies(rooms, room_id) == ["once"]

    async def test_a_retry_to_another_process(self, make_rooms: MakeRooms) -> None:
        """Found in the write itself: that process has never heard of the transaction."""
        one, other = make_rooms(), make_rooms()
        room_id = await make_room(one)
        first = await one.send(room_id, ALICE, message("once"), txn=txn(ALICE, "1"))
        again = await other.send(room_id, ALICE, message("once"), txn=txn(ALICE, "1"))
        assert (again.event_id, again.replayed) == (first.event_id, True)
        assert again.position >= first.position
        assert await bodies(one, room_id) == ["once"]

    async def test_a_retry_by_who_may_no_longer_send(self, make_rooms: MakeRooms) -> None:
        """The answer to the first try was lost, and meanwhile the sender was put out."""
        one = make_rooms()
        room_id = await make_room(one)
        await join(one, room_id, BOB)
        first = await one.send(room_id, BOB, message("once"), txn=txn(BOB, "1"))
        await one.send(room_id, ALICE, member(BOB, "leave"))
        fresh = make_rooms()
        again, alice, late, nameless = await asyncio.gather(
            fresh.send(room_id, BOB, message("once"), txn=txn(BOB, "1")),
            fresh.send(room_id, ALICE, message("hers"), txn=txn(ALICE, "1")),
            fresh.send(room_id, BOB, message("late"), txn=txn(BOB, "2")),
            fresh.send(room_id, BOB, message("late")),
            return_exceptions=True,
        )
        assert isinstance(again, Written) and (again.event_id, again.replayed) == (first.event_id, True)
        assert isinstance(alice, Written) and not alice.replayed
        assert isinstance(late, AuthRejected) and isinstance(nameless, AuthRejected)
        assert await bodies(one, room_id) == ["once", "hers"]

    async def test_a_retry_of_state_that_is_so_again(self, make_rooms: MakeRooms) -> None:
        """It gets the event that it made, not the one in force."""
        one = make_rooms()
        room_id = await make_room(one)
        first = await one.send(room_id, ALICE, state("m.x", n=1), txn=txn(ALICE, "1"))
        await one.send(room_id, ALICE, state("m.x", n=2))
        third = await one.send(room_id, ALICE, state("m.x", n=1))
        for txn_id, expected in (("1", first), ("2", third)):
            found = await make_rooms().send(room_id, ALICE, state("m.x", n=1), txn=txn(ALICE, txn_id))
            assert (found.event_id, found.replayed) == (expected.event_id, True)

    async def test_a_refusal_that_nobody_can_confirm(
        self, make_rooms: MakeRooms, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The look-up fails: who might have been a retry is told to ask again, the others are answered."""
        room_id = await make_room(make_rooms())

        async def failing(*_: object) -> dict[int, str]:
            raise StoreUnavailable("connection lost")

        monkeypatch.setattr("plexus.rooms.actor.sent_before", failing)
        fresh = make_rooms()
        unsure, refused, sent = await asyncio.gather(
            fresh.send(room_id, BOB, message("x"), txn=txn(BOB, "1")),
            fresh.send(room_id, BOB, message("x")),
            fresh.send(room_id, ALICE, message("hers")),
            return_exceptions=True,
        )
        assert isinstance(unsure, StoreUnavailable) and isinstance(refused, AuthRejected)
        assert isinstance(sent, Written)

    async def test_a_retry_among_others(self, make_rooms: MakeRooms) -> None:
        one, other = make_rooms(), make_rooms()
        room_id = await make_room(one)
        first = await one.send(room_id, ALICE, message("5"), txn=txn(ALICE, "5"))
        sent = await asyncio.gather(
            *(other.send(room_id, ALICE, message(str(n)), txn=txn(ALICE, str(n))) for n in range(10))
        )
        assert sent[5].event_id == first.event_id and sent[5].replayed
        assert [written.replayed for written in sent] == [n == 5 for n in range(10)]
        assert await bodies(one, room_id) == ["5", "0", "1", "2", "3", "4", "6", "7", "8", "9"]

    async def test_twice_at_once(self, rooms: Rooms) -> None:
        room_id = await make_room(rooms)
        sent = await asyncio.gather(
            *(rooms.send(room_id, ALICE, message("once"), txn=txn(ALICE, "1")) for _ in range(5))
        )
        assert len({written.event_id for written in sent}) == 1
        assert [written.replayed for written in sent].count(False) == 1
        assert await bodies(rooms, room_id) == ["once"]

    async def test_they_belong_to_a_device_an_endpoint_and_a_room(self, rooms: Rooms) -> None:
        room_id, second = await make_room(rooms), await make_room(rooms, creator=BOB)
        await join(rooms, room_id, BOB)
        sent = [
            await rooms.send(room_id, ALICE, message("a"), txn=txn(ALICE, "1")),
            await rooms.send(room_id, ALICE, message("b"), txn=txn(ALICE, "1", device="OTHER")),
            await rooms.send(room_id, BOB, message("c"), txn=txn(BOB, "1")),
            await rooms.send(room_id, ALICE, message("d"), txn=Txn(ALICE, "DEVICE", "redact", "1")),
            await rooms.send(second, BOB, message("e"), txn=txn(BOB, "1")),
        ]
        assert len({written.event_id for written in sent}) == 5

    async def test_only_that_device_sees_it(self, rooms: Rooms) -> None:
        room_id = await make_room(rooms)
        written = await rooms.send(room_id, ALICE, message("x"), txn=txn(ALICE, "my-txn"))
        event = await rooms.event(room_id, written.event_id, viewer=ALICE)

        def unsigned(user_id: str, device_id: str) -> dict[str, Any]:
            client = event.client_dict(now_ms=0, user_id=user_id, device_id=device_id)
            found: dict[str, Any] = client["unsigned"]
            return found

        assert unsigned(ALICE, "DEVICE")["transaction_id"] == "my-txn"
        assert "transaction_id" not in unsigned(ALICE, "OTHER")
        assert "transaction_id" not in unsigned(BOB, "DEVICE")

    @pytest.mark.parametrize("txn_id", ["with\0nul", "\ud800", "x" * 513])
    async def test_those_that_cannot_be_stored(self, rooms: Rooms, txn_id: str) -> None:
        room_id = await make_room(rooms)
        with pytest.raises(InvalidParam):
            await rooms.send(room_id, ALICE, message("x"), txn=txn(ALICE, txn_id))
        assert await bodies(rooms, room_id) == []


class TestLostAnswer:
    """The commit happened, and the connection died before it said so."""

    @pytest.fixture
    def lose(self, ground: TestGround, monkeypatch: pytest.MonkeyPatch) -> dict[str, bool]:
        from plexus.rooms import lane_writer

        how = {"before": False, "after": False}
        write = lane_writer.call_write

        async def losing(*args: Any) -> Any:
            if how["before"]:
                raise StoreUnavailable("connection lost")
            answer = await write(*args)
            if how["after"]:
                raise StoreUnavailable("connection lost")
            return answer

        monkeypatch.setattr(lane_writer, "call_write", losing)
        return how

    async def test_it_is_looked_up(self, rooms: Rooms, lose: dict[str, bool]) -> None:
        room_id = await make_room(rooms)
        lose["after"] = True
        sent = await asyncio.gather(*(rooms.send(room_id, ALICE, message(str(n))) for n in range(3)))
        lose["after"] = False
        assert [w.replayed for w in sent] == [False] * 3
        await rooms.send(room_id, ALICE, message("3"))
        assert await bodies(rooms, room_id) == ["0", "1", "2", "3"]

    async def test_what_is_not_there_is_503(self, rooms: Rooms, lose: dict[str, bool]) -> None:
        room_id = await make_room(rooms)
        lose["before"] = True
        with pytest.raises(Unavailable):
            await rooms.send(room_id, ALICE, message("lost"), txn=txn(ALICE, "1"))
        lose["before"] = False
        await rooms.send(room_id, ALICE, message("lost"), txn=txn(ALICE, "1"))
        assert await bodies(rooms, room_id) == ["lost"]

    async def test_a_new_room_is_looked_up_too(self, rooms: Rooms, lose: dict[str, bool]) -> None:
        lose["after"] = True
        room_id = await make_room(rooms)
        lose["after"] = False
        await rooms.send(room_id, ALICE, message("here"))
        assert await bodies(rooms, room_id) == ["here"]


class TestAfterTheCommit:
    """What was committed is answered as committed, whatever fails afterwards."""

    @pytest.mark.parametrize("broken", ["fanout", "marks", "group"])
    async def test_a_failure_to_announce(
        self,
        make_rooms: MakeRooms,
        ground: TestGround,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
        broken: str,
    ) -> None:
        rooms = make_rooms()
        room_id = await make_room(rooms)
        await rooms.send(room_id, ALICE, message("0"))

        def fail(*_: object) -> int:
            raise ConnectionError("gone")

        async def fail_soon(*_: object) -> None:
            raise ConnectionError("gone")

        with monkeypatch.context() as patch:
            if broken == "marks":
                patch.setattr(ground.marks, "set", fail_soon)
            elif broken == "fanout":
                patch.setattr(ground.fanout, "publish", fail)
            else:
                patch.setattr(announcing, "Group", fail)
            sent = await asyncio.gather(*(rooms.send(room_id, ALICE, message(str(n))) for n in (1, 2)))
            made = await make_room(rooms)
            same = await rooms.send(room_id, ALICE, state("m.room.join_rules", join_rule="public"))
            # By an engine of its own: the head of the first is stale, so it writes under the lock.
            await make_rooms().send(room_id, ALICE, message("3"))
            await rooms.send(room_id, ALICE, message("4"))
        assert [written.replayed for written in sent] == [False, False] and same.replayed
        assert "gone" in caplog.text
        assert await bodies(rooms, room_id) == ["0", "1", "2", "3", "4"]
        assert await rooms.room(made) is not None
        # The next write is announced as ever.
        last = await rooms.send(room_id, ALICE, message("5"))
        await asyncio.sleep(0)
        assert ground.groups[-1].facts[0].position == last.position
        marks = await ground.marks.get(ALICE)
        assert marks is not None and marks[ROOM, last.lane] == last.position

    async def test_a_creator_who_goes_away(
        self, make_rooms: MakeRooms, ground: TestGround, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Their request is cut while their room is being committed, and others wait behind it."""
        from plexus.rooms import creation, lane_writer

        rooms = make_rooms()
        other = await make_room(rooms)
        lane = ground.lanes.room(other)
        name = next(
            f"!made{n}:here.example.org"
            for n in range(10_000)
            if ground.lanes.room(f"!made{n}:here.example.org") == lane
        )
        monkeypatch.setattr(creation, "new_room_id", lambda _: name)
        write = lane_writer.call_write
        committed, go_on = asyncio.Event(), asyncio.Event()
        under_way: list[int] = []

        async def slow(*args: Any) -> Any:
            under_way.append(len(under_way))
            answer = await write(*args)
            committed.set()
            await go_on.wait()
            under_way.pop()
            assert not under_way, "one call at a time"
            return answer

        monkeypatch.setattr(lane_writer, "call_write", slow)
        creating = asyncio.create_task(rooms.create(ALICE, "11", first_events(ALICE, "11")))
        await committed.wait()
        sending = asyncio.create_task(rooms.send(other, ALICE, message("behind")))
        await asyncio.sleep(0.05)
        creating.cancel()
        with pytest.raises(asyncio.CancelledError):
            await creating
        go_on.set()
        sent = await sending
        await rooms.stop()
        await asyncio.sleep(0)
        published = {fact.subject: fact.position for group in ground.groups for fact in group.facts}
        assert published[other] == sent.position
        assert published[name] == sent.position - 1
        assert await make_rooms().membership(name, ALICE) == "join"

    async def test_one_who_goes_away_while_waiting(
        self, make_rooms: MakeRooms, ground: TestGround, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """In one group with somebody else's write: that one is answered."""
        from plexus.rooms import creation, lane_writer

        rooms = make_rooms()
        first, other = await two_in_a_lane(rooms, ground)
        lane = ground.lanes.room(other)
        name = next(
            f"!mate{n}:here.example.org"
            for n in range(10_000)
            if ground.lanes.room(f"!mate{n}:here.example.org") == lane
        )
        monkeypatch.setattr(creation, "new_room_id", lambda _: name)
        write = lane_writer.call_write
        go_on = asyncio.Event()
        groups: list[int] = []

        async def slow(ground: Any, lane: int, writes: Any) -> Any:
            groups.append(len(writes))
            answer = await write(ground, lane, writes)
            await go_on.wait()
            return answer

        monkeypatch.setattr(lane_writer, "call_write", slow)
        holding = asyncio.create_task(rooms.send(first, ALICE, message("holding the lane")))
        await asyncio.sleep(0.05)
        creating = asyncio.create_task(rooms.create(ALICE, "11", first_events(ALICE, "11")))
        sending = asyncio.create_task(rooms.send(other, ALICE, message("mate")))
        await asyncio.sleep(0.05)
        creating.cancel()
        go_on.set()
        await holding
        sent = await sending
        assert groups == [1, 2]
        await asyncio.sleep(0)
        assert sent.position in {fact.position for group in ground.groups for fact in group.facts}
        assert await bodies(rooms, other) == ["mate"]
        assert await rooms.membership(name, ALICE) == "join"


async def two_in_a_lane(rooms: Rooms, ground: TestGround) -> tuple[str, str]:
    lanes: dict[int, str] = {}
    while True:
        room_id = await make_room(rooms, version="11")
        before = lanes.setdefault(ground.lanes.room(room_id), room_id)
        if before != room_id:
            return before, room_id


class TestRefused:
    """A refusal leaves no trace: no event, no fact, no transaction id."""

    @pytest.mark.parametrize(
        ("sender", "event", "error"),
        [
            (BOB, message("not in the room"), AuthRejected),
            (ALICE, NewEvent("m.room.create", {}, ""), AuthRejected),
            (ALICE, member(ALICE, "dancing"), AuthRejected),
            (ALICE, member("not a user"), InvalidParam),
            (ALICE, state("m.room.name", "@bob:here.example.org", name="x"), AuthRejected),
            (ALICE, NewEvent("m.room.message", {"a": 1.5}), BadJson),
            (ALICE, NewEvent("m.room.message", {"a": 2**53}), BadJson),
            (ALICE, NewEvent("m.room.message", {"a": "\ud800"}), BadJson),
            (ALICE, NewEvent("m.room.message", {"body": "x" * 66_000}), TooLarge),
            (ALICE, NewEvent("t" * 256, {}), TooLarge),
            (ALICE, NewEvent("m.x", {}, "k" * 256), TooLarge),
            (ALICE, NewEvent("", {}), InvalidParam),
            (ALICE, NewEvent("m.\0", {}), InvalidParam),
            (ALICE, NewEvent("m.x", {}, "a\0b"), InvalidParam),
            (ALICE, NewEvent("m.\ud800", {}), InvalidParam),
        ],
    )
    async def test_refused(
        self, rooms: Rooms, sender: str, event: NewEvent, error: type[MatrixError]
    ) -> None:
        room_id = await make_room(rooms)
        before, count = await rooms.room(room_id), await events_in(rooms, room_id)
        with pytest.raises(error):
            await rooms.send(room_id, sender, event, txn=txn(sender, "1"))
        assert (await rooms.room(room_id), await events_in(rooms, room_id)) == (before, count)
        await rooms.send(room_id, ALICE, message("fine"), txn=txn(ALICE, "1"))

    async def test_deep_content(self, rooms: Rooms) -> None:
        room_id = await make_room(rooms)
        content: dict[str, Any] = {}
        for _ in range(300):
            content = {"a": content}
        with pytest.raises(BadJson):
            await rooms.send(room_id, ALICE, NewEvent("m.x", content))

    async def test_one_bad_wish_does_not_harm_its_neighbours(self, rooms: Rooms) -> None:
        room_id = await make_room(rooms)
        wishes = [message("a"), NewEvent("m.x", {"a": 0.5}), message("b")]
        found = await asyncio.gather(
            *(rooms.send(room_id, ALICE, wish) for wish in wishes), return_exceptions=True
        )
        assert [type(answer).__name__ for answer in found] == ["Written", "BadJson", "Written"]
        assert await bodies(rooms, room_id) == ["a", "b"]

    @pytest.mark.parametrize(
        "event",
        [
            state("m.x", "a\0b"),
            state("m.\0"),
            state("m.\ud800"),
            state("m.x", "\ud800"),
            member(BOB, "invite", third_party_invite={"signed": {"token": "\0"}}),
            member(BOB, "invite", third_party_invite={"signed": {"token": "\ud800"}}),
        ],
    )
    async def test_what_cannot_even_be_looked_up(self, make_rooms: MakeRooms, event: NewEvent) -> None:
        """By an engine that knows nothing of the room yet; neither does it harm its neighbours."""
        room_id = await make_room(make_rooms())
        rooms = make_rooms()
        found = await asyncio.gather(
            *(rooms.send(room_id, ALICE, wish) for wish in (message("a"), event, message("b"))),
            return_exceptions=True,
        )
        assert isinstance(found[1], MatrixError) and found[1].status < 500
        assert await bodies(rooms, room_id) == ["a", "b"]

    async def test_a_room_that_is_not(self, rooms: Rooms) -> None:
        for room_id in ("!nothing:here.example.org", "!" + "x" * 43, "!nul\0:here.example.org"):
            with pytest.raises(NotFound):
                await rooms.send(room_id, ALICE, message("x"))

    async def test_a_full_queue(self, rooms: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("plexus.rooms.actor.MOST_WAITING", 10)
        room_id = await make_room(rooms)
        found = await asyncio.gather(
            *(rooms.send(room_id, ALICE, message(str(n))) for n in range(40)), return_exceptions=True
        )
        refused = [answer for answer in found if isinstance(answer, LimitExceeded)]
        assert refused and refused[0].retry_after_ms > 0
        assert len(await bodies(rooms, room_id)) == 40 - len(refused)

    async def test_after_the_stop(self, make_rooms: MakeRooms) -> None:
        rooms = make_rooms()
        room_id = await make_room(rooms)
        under_way = [asyncio.create_task(rooms.send(room_id, ALICE, message(str(n)))) for n in range(20)]
        await asyncio.sleep(0)
        await rooms.stop()
        assert all(task.done() and task.exception() is None for task in under_way)
        with pytest.raises(Unavailable):
            await rooms.send(room_id, ALICE, message("late"))


class TestLargeChains:
    async def test_many_large_events_at_once(self, rooms: Rooms, ground: TestGround) -> None:
        """They go in several groups, each of which fits into one record."""
        room_id = await make_room(rooms)
        published = len(ground.groups)
        await asyncio.gather(*(rooms.send(room_id, ALICE, message(f"{n}" + "x" * 60_000)) for n in range(30)))
        await asyncio.sleep(0)
        sizes = [sum(len(f.body or b"") for f in group.facts) for group in ground.groups[published:]]
        assert len(sizes) > 3
        assert max(sizes) < 900_000
        assert [body.rstrip("x") for body in await bodies(rooms, room_id)] == [str(n) for n in range(30)]


class TestState:
    async def test_state_that_is_already_so(self, rooms: Rooms) -> None:
        room_id = await make_room(rooms)
        first = await rooms.send(room_id, ALICE, state("m.room.topic", topic="a", x={"b": 1, "a": 2}))
        count = await events_in(rooms, room_id)
        same = await rooms.send(room_id, ALICE, state("m.room.topic", x={"a": 2, "b": 1}, topic="a"))
        assert (same.event_id, same.replayed) == (first.event_id, True)
        assert await events_in(rooms, room_id) == count
        other = await rooms.send(room_id, ALICE, state("m.room.topic", topic="b"))
        back = await rooms.send(room_id, ALICE, state("m.room.topic", topic="a", x={"b": 1, "a": 2}))
        assert len({first.event_id, other.event_id, back.event_id}) == 3

    async def test_the_same_state_by_another_sender(self, rooms: Rooms) -> None:
        room_id = await make_room(rooms, state_default=0)
        await join(rooms, room_id, BOB)
        first = await rooms.send(room_id, ALICE, state("m.room.topic", topic="a"))
        second = await rooms.send(room_id, BOB, state("m.room.topic", topic="a"))
        assert second.event_id != first.event_id

    async def test_true_is_not_one(self, rooms: Rooms) -> None:
        room_id = await make_room(rooms)
        first = await rooms.send(room_id, ALICE, state("m.x", value=1))
        second = await rooms.send(room_id, ALICE, state("m.x", value=True))
        assert second.event_id != first.event_id

    async def test_a_stale_cache_does_not_call_it_the_same(self, make_rooms: MakeRooms) -> None:
        one, other = make_rooms(), make_rooms()
        room_id = await make_room(one)
        a = await one.send(room_id, ALICE, state("m.room.topic", topic="a"))
        await other.send(room_id, ALICE, state("m.room.topic", topic="b"))
        again = await one.send(room_id, ALICE, state("m.room.topic", topic="a"))
        assert again.event_id != a.event_id
        assert (await one.state_event(room_id, "m.room.topic", "")).content == {"topic": "a"}  # type: ignore[union-attr]

    async def test_a_stale_cache_does_not_refuse(self, make_rooms: MakeRooms) -> None:
        """Nor does it let through what has been forbidden meanwhile."""
        one, other = make_rooms(), make_rooms()
        room_id = await make_room(one, join_rule="invite")
        with pytest.raises(AuthRejected):
            await one.send(room_id, BOB, message("let me in"))
        with pytest.raises(AuthRejected):
            await join(one, room_id, BOB)
        await other.send(room_id, ALICE, member(BOB, "invite"))
        await join(one, room_id, BOB)
        await other.send(room_id, ALICE, member(BOB, "ban"))
        with pytest.raises(AuthRejected):
            await one.send(room_id, BOB, message("still here"))

    async def test_what_the_state_replaced(self, rooms: Rooms) -> None:
        room_id = await make_room(rooms)
        first = await rooms.send(room_id, ALICE, state("m.room.topic", topic="a"))
        second = await rooms.send(room_id, ALICE, state("m.room.topic", topic="b"))
        event = await rooms.event(room_id, second.event_id, viewer=ALICE)
        unsigned = event.client_dict(now_ms=event.origin_server_ts + 5)["unsigned"]
        assert unsigned == {"age": 5, "prev_content": {"topic": "a"}, "replaces_state": first.event_id}

    async def test_more_changes_than_a_checkpoint_takes(self, rooms: Rooms) -> None:
        """In one chain and one by one; the state is read from pages and from deltas."""
        room_id = await make_room(rooms)
        await asyncio.gather(*(rooms.send(room_id, ALICE, state("m.x", str(n), n=n)) for n in range(300)))
        for n in range(300, 310):
            await rooms.send(room_id, ALICE, state("m.x", str(n), n=n))
        await asyncio.gather(*(rooms.send(room_id, ALICE, state("m.x", str(n), n=-n)) for n in range(250)))
        found = {e.state_key: e.content["n"] for e in await rooms.current_state(room_id) if e.type == "m.x"}
        assert found == {str(n): -n if n < 250 else n for n in range(310)}

    async def test_checkpoints_by_a_process_that_knows_nothing(self, make_rooms: MakeRooms) -> None:
        one = make_rooms()
        room_id = await make_room(one)
        for batch in range(9):
            rooms = make_rooms()
            await asyncio.gather(
                *(
                    rooms.send(room_id, ALICE, state("m.x", str(n % 170), n=n))
                    for n in range(batch * 60, batch * 60 + 60)
                )
            )
        found = {e.state_key: e.content["n"] for e in await one.current_state(room_id) if e.type == "m.x"}
        assert found == {str(n % 170): n for n in range(540)}


async def test_a_stranger_has_no_membership(rooms: Rooms) -> None:
    room_id = await make_room(rooms)
    assert await rooms.membership(room_id, CAROL) is None
    assert await rooms.membership("!nothing:here.example.org", CAROL) is None
