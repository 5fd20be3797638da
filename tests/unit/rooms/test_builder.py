"""Chains are built without I/O: what is missing is asked for, and a refusal changes nothing."""

from __future__ import annotations

from itertools import count
from types import SimpleNamespace
from typing import Any

import immutables
import pytest
from plexus.platform.lanes import LaneMap
from plexus.protocol.errors import AuthRejected, BadJson
from plexus.protocol.events import redact_raw, reference_hash_of
from plexus.protocol.signatures import SigningKey
from plexus.rooms import NewEvent, RoomRef, Txn
from plexus.rooms.builder import ChainBuilder, Signer, needs
from plexus.rooms.creation import build_room
from plexus.rooms.head import MOST_ENTRIES, Entry, RoomHead
from plexus.rooms.wishes import Found, Missing, Target, Wish

SERVER = "here.example.org"
ALICE, BOB = f"@alice:{SERVER}", f"@bob:{SERVER}"
KEY = SigningKey("ed25519:1", bytes(32))
SIGNER = Signer(SERVER, KEY)
GROUND: Any = SimpleNamespace(
    settings=SimpleNamespace(server_name=SERVER),
    keys=SimpleNamespace(current=lambda: KEY),
    lanes=LaneMap(),
)


def make_head(version: str = "12") -> RoomHead:
    write, head = build_room(
        GROUND,
        ALICE,
        version,
        [
            NewEvent("m.room.create", {}, ""),
            NewEvent("m.room.member", {"membership": "join"}, ALICE),
            NewEvent("m.room.power_levels", {"users": {} if version == "12" else {ALICE: 100}}, ""),
            NewEvent("m.room.join_rules", {"join_rule": "public"}, ""),
        ],
        1,
        published=False,
    )
    return head.made(RoomRef(write.ref.room_id, write.ref.lane, 7, version), 1)


def forgetful(head: RoomHead) -> RoomHead:
    """As it is just after it was read: no entries, no chain."""
    from dataclasses import replace

    return replace(head, entries=immutables.Map(), key_nums=immutables.Map(), chain=None, is_complete=False)


def wish(event: NewEvent, sender: str = ALICE, txn: Txn | None = None) -> Wish:
    return Wish(sender, event, txn, 5)


MESSAGE = NewEvent("m.room.message", {"body": "x"})


def test_a_chain_moves_the_head() -> None:
    head = make_head()
    builder = ChainBuilder(head, SIGNER)
    for event in (MESSAGE, NewEvent("m.room.topic", {"topic": "t"}, ""), MESSAGE):
        builder.add(wish(event))
    write, after = builder.finish()
    assert [row.num for row in write.events] == [5, 6, 7]
    assert [(row.snap_before, row.snap_after) for row in write.events] == [(4, 4), (4, 5), (5, 5)]
    assert [row.prev for row in write.events] == [(4,), (5,), (6,)]
    assert (write.seen, after.seen, after.head_num, after.snapshot) == (1, 2, 7, 5)
    assert [end[:2] for end in after.extremities] == [(7, write.events[2].event.event_id)]
    assert after.entries["m.room.topic", ""] == Entry(6, write.events[1].event)
    # The head that it was built upon is what it was.
    assert (head.head_num, head.snapshot, ("m.room.topic", "") in head.entries) == (4, 4, False)


def test_what_a_fresh_head_needs() -> None:
    head = forgetful(make_head())
    assert needs(head, [wish(MESSAGE)]).entries == {
        ("m.room.create", ""),
        ("m.room.power_levels", ""),
        ("m.room.member", ALICE),
    }
    joining = needs(head, [wish(NewEvent("m.room.member", {"membership": "join"}, BOB), BOB)])
    assert {("m.room.member", BOB), ("m.room.join_rules", "")} <= joining.entries
    assert joining.chain
    redaction = needs(head, [wish(NewEvent("m.room.redaction", {}, redacts="$x"))])
    assert redaction.targets == {"$x"}
    assert not needs(make_head(), [wish(MESSAGE), wish(NewEvent("m.x", {}, "a"))])


def test_what_is_missing_is_asked_for() -> None:
    head = make_head()
    with pytest.raises(Missing) as missing:
        ChainBuilder(forgetful(head), SIGNER).add(wish(MESSAGE))
    assert missing.value.entries
    with pytest.raises(Missing) as missing:
        ChainBuilder(head, SIGNER).add(wish(NewEvent("m.room.redaction", {}, redacts="$x")))
    assert missing.value.targets == {"$x"}


@pytest.mark.parametrize("version", ["1", "2"])
def test_events_cited_with_their_hashes(version: str) -> None:
    """The head knows the extremity by its ID alone, so the event is read; in a chain it is at hand."""
    opaque = count()
    signer = Signer(SERVER, KEY, lambda: f"n{next(opaque)}")
    head = make_head(version)
    [(num, last)] = [end[:2] for end in head.extremities]
    assert needs(head, [wish(MESSAGE)]).targets == {last}
    with pytest.raises(Missing) as missing:
        ChainBuilder(head, signer).add(wish(NewEvent("m.room.redaction", {}, redacts=last)))
    assert missing.value.targets == {last}
    rules = head.entries["m.room.join_rules", ""]
    assert rules is not None and rules.event.event_id == last
    # What is left after a redaction has the same hash.
    raw = redact_raw(head.version, rules.event.raw)
    builder = ChainBuilder(
        head, signer, found=Found({last: Target(num, "m.room.join_rules", ALICE, "", raw, True)})
    )
    builder.add(wish(MESSAGE))
    builder.add(wish(NewEvent("m.room.message", {"body": "y"})))
    assert [verdict.error for verdict in builder.verdicts] == [None, None]
    first, second = (row.event for row in builder.write.events)
    assert (first.event_id, second.event_id) == (f"$n1:{SERVER}", f"$n2:{SERVER}")
    by_id = {entry.event.event_id: entry.event for entry in head.entries.values() if entry is not None}
    by_id |= {first.event_id: first}
    for event in (first, second):
        pdu = event.pdu()
        assert pdu["event_id"] == event.event_id
        for cited, hashes in pdu["prev_events"] + pdu["auth_events"]:
            assert hashes == {"sha256": reference_hash_of(head.version, by_id[cited].raw)}
    assert second.prev_events == (first.event_id,)


@pytest.mark.parametrize("version", ["3", "12"])
def test_elsewhere_the_extremities_are_not_read(version: str) -> None:
    head = make_head(version)
    assert not needs(head, [wish(MESSAGE)])
    builder = ChainBuilder(head, SIGNER)
    builder.add(wish(MESSAGE))
    assert builder.verdicts[0].error is None


@pytest.mark.parametrize("version", ["1", "9"])
def test_new_power_levels_are_integers_also_where_old_ones_are_not(version: str) -> None:
    head = make_head(version)
    extremity = head.extremities[0][1]
    rules = head.entries["m.room.join_rules", ""]
    assert rules is not None
    target = Target(4, "m.room.join_rules", ALICE, "", rules.event.raw, False)
    builder = ChainBuilder(head, SIGNER, found=Found({extremity: target}))
    bad: list[dict[str, Any]] = [
        {"ban": "50"},
        {"users": {ALICE: "100"}},
        {"events": []},
        {"notifications": {"room": 0.5}},
    ]
    for content in bad:
        builder.add(wish(NewEvent("m.room.power_levels", content, "")))
    builder.add(wish(NewEvent("m.room.power_levels", {"users": {ALICE: 100}, "ban": 51}, "")))
    *wrong, right = builder.verdicts
    assert all(isinstance(verdict.error, BadJson) for verdict in wrong)
    assert right.error is None


def test_a_refusal_leaves_no_trace() -> None:
    head = make_head()
    builder = ChainBuilder(head, SIGNER)
    builder.add(wish(MESSAGE, BOB))
    builder.add(wish(NewEvent("m.x", {"a": 1.5}, "")))
    builder.add(wish(MESSAGE))
    refused, bad, fine = builder.verdicts
    assert isinstance(refused.error, AuthRejected) and isinstance(bad.error, BadJson)
    assert (fine.error, fine.at) == (None, 0)
    write, after = builder.finish()
    assert len(write.events) == 1 and not write.snapshots and not write.state_keys
    assert ("m.x", "") not in after.entries


def test_what_follows_in_a_chain_sees_what_came_before() -> None:
    builder = ChainBuilder(make_head(), SIGNER)
    joining = NewEvent("m.room.member", {"membership": "join"}, BOB)
    for event, sender in ((joining, BOB), (joining, BOB), (MESSAGE, BOB)):
        builder.add(wish(event, sender))
    first, same, message = builder.verdicts
    assert (same.event_id, same.replayed, same.at) == (first.event_id, True, None)
    assert message.error is None
    assert [change.was for change in builder.write.members] == [0]


def test_one_transaction_id_in_one_chain() -> None:
    builder = ChainBuilder(make_head(), SIGNER)
    txn = Txn(ALICE, "D", "send", "1")
    builder.add(wish(MESSAGE, txn=txn))
    builder.add(wish(MESSAGE, txn=txn))
    assert builder.verdicts[1].event_id == builder.verdicts[0].event_id
    assert len(builder.write.events) == 1


def test_a_redaction_of_an_event_of_the_same_chain() -> None:
    builder = ChainBuilder(make_head("11"), SIGNER)
    builder.add(wish(NewEvent("m.room.topic", {"topic": "secret"}, "")))
    target = builder.verdicts[0].event_id
    builder.add(wish(NewEvent("m.room.redaction", {}, redacts=target)))
    write, after = builder.finish()
    [redaction] = write.redactions
    assert (redaction.num, redaction.at) == (5, 1)
    assert b"secret" not in redaction.raw
    entry = after.entries["m.room.topic", ""]
    assert entry is not None and entry.event.content == {}


def test_a_target_that_is_redacted_already() -> None:
    head = make_head()
    target = Target(2, "m.x", ALICE, None, b"{}", is_redacted=True)
    builder = ChainBuilder(head, SIGNER, found=Found({"$x": target}))
    builder.add(wish(NewEvent("m.room.redaction", {}, redacts="$x")))
    assert builder.verdicts[0].error is None
    assert builder.write.redactions == []


def test_a_head_does_not_grow_without_end() -> None:
    head = make_head()
    member = head.entries["m.room.member", ALICE]
    large = head.with_read({("m.room.member", f"@u{n}:x"): member for n in range(MOST_ENTRIES)})
    small = large.trimmed()
    assert not small.is_complete
    assert set(small.entries) == {
        ("m.room.create", ""),
        ("m.room.power_levels", ""),
        ("m.room.join_rules", ""),
    }
    assert set(small.key_nums) == set(small.entries)
    assert head.trimmed() is head
