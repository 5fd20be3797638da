"""Packed pages and chains of snapshots, against a dictionary."""

from __future__ import annotations

import random
from collections.abc import Iterable

from hypothesis import given, settings
from hypothesis import strategies as st
from immutables import Map
from plexus.rooms.snapshots import (
    EMPTY,
    MAX_STEPS,
    PAGE_ENTRIES,
    REMOVED,
    Chain,
    Row,
    State,
    compare,
    entry_hash,
    find,
    hash_bytes,
    pack,
    page_of,
    pages_to_compare,
    unpack,
    unpack_index,
)

SALT = bytes(range(16))


class Store:
    """The tables as dictionaries, and the state at every snapshot as an immutable map."""

    def __init__(self) -> None:
        self.rows: dict[int, Row] = {}
        self.pages: dict[int, bytes] = {}
        self.model: dict[int, Map[int, int]] = {EMPTY: Map()}
        self.chain = Chain(EMPTY, b"", (), 0)
        self.next_page = 1
        self.pages_read = 0

    def set(self, key: int, event: int) -> None:
        before = self.model[self.chain.snap]
        snap = len(self.model)
        needed = self.chain.pages_to_advance([key], 1)
        self.pages_read += len(needed)
        self.chain, row = self.chain.advance(
            {key: (before.get(key), event)},
            snap=snap,
            salt=SALT,
            next_page=self.next_page,
            pages={page: self.pages[page] for page in needed},
        )
        self.rows[snap] = row
        for page, data in row.new_pages:
            assert page == self.next_page
            self.pages[page] = data
            self.next_page += 1
        self.model[snap] = before.set(key, event)

    def way(self, snap: int) -> list[Row]:
        rows = []
        at: int | None = snap
        while at:
            rows.append(self.rows[at])
            at = self.rows[at].parent
        return rows[::-1]

    def state(self, snap: int) -> State:
        index = b""
        changes: dict[int, int] = {}
        for row in self.way(snap):
            if row.pages is not None:
                index = row.pages
            else:
                changes.update(unpack(row.delta))
        return State(index, changes)

    def only(self, pages: Iterable[int]) -> dict[int, bytes]:
        """Just these pages: a look-up that needs another one fails."""
        return {page: self.pages[page] for page in pages}


@given(st.dictionaries(st.integers(1, 10_000), st.integers(1, 2**62), max_size=300), st.integers(0, 10_001))
def test_finding_in_packed_entries(model: dict[int, int], key: int) -> None:
    data = pack(sorted(model.items()))
    assert len(data) == 12 * len(model)
    assert dict(unpack(data)) == model
    assert find(data, key) == model.get(key)
    for known in model:
        assert find(data, known) == model[known]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=700))
def test_every_snapshot_equals_the_model(keys: list[int]) -> None:
    store = Store()
    for event, key in enumerate(keys, start=1):
        store.set(key, event)
    for snap, model in store.model.items():
        state = store.state(snap)
        assert state.entries(store.only(state.pages)) == dict(model)
        for key in (1, 30, 60, 61):
            assert state.find(key, store.only(state.pages_for([key]))) == model.get(key)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=2, max_size=600), st.randoms(use_true_random=False))
def test_comparing_any_two_snapshots(keys: list[int], chance: random.Random) -> None:
    store = Store()
    for event, key in enumerate(keys, start=1):
        store.set(key, event)
    for _ in range(20):
        a, b = (chance.randrange(len(store.model)) for _ in range(2))
        old, new = store.state(a), store.state(b)
        found = compare(old, new, store.only(pages_to_compare(old, new)))
        expected = {
            key: (store.model[a].get(key), store.model[b].get(key))
            for key in {*store.model[a], *store.model[b]}
            if store.model[a].get(key) != store.model[b].get(key)
        }
        assert found == expected


def test_no_snapshot_is_more_than_eight_steps_from_its_checkpoint() -> None:
    store = Store()
    for event in range(1, 3 * MAX_STEPS):
        store.set(event % 100 + 1, event)
    depths = {len(store.way(snap)) for snap in store.rows}
    # The way of a snapshot includes its checkpoint, which the first of a room does not have.
    assert max(depths) == 9
    for snap, row in store.rows.items():
        steps = len(store.way(snap)) - (1 if store.way(snap)[0].pages is not None else 0)
        assert steps == row.step.bit_count() <= 8


def test_deltas_stay_small() -> None:
    store = Store()
    for event in range(1, 10 * MAX_STEPS):
        store.set(event, event)
    deltas = [len(row.delta) // 12 for row in store.rows.values() if row.pages is None]
    assert sum(deltas) / len(deltas) < 5
    assert max(deltas) == MAX_STEPS // 2


def test_the_hash_depends_on_the_state_alone() -> None:
    """Not on the order in which it came about, and not on what was there in between."""
    one, other = Store(), Store()
    for key, event in ((1, 10), (2, 20), (3, 30)):
        one.set(key, event)
    for key, event in ((3, 31), (2, 20), (1, 10), (3, 30)):
        other.set(key, event)
    assert one.chain.hash == other.chain.hash
    total = sum(entry_hash(SALT, key, event) for key, event in ((1, 10), (2, 20), (3, 30))) % 2**256
    assert one.rows[one.chain.snap].hash == hash_bytes(total)
    other.set(3, 32)
    assert one.chain.hash != other.chain.hash


def test_another_salt_gives_another_hash() -> None:
    assert entry_hash(SALT, 1, 2) != entry_hash(bytes(16), 1, 2)


def test_a_room_of_fifty_thousand() -> None:
    """Joins fill pages at the end, a point read bisects one page, checkpoints share what they do not
    touch."""
    store = Store()
    members = 50_000
    for event in range(1, members + 1):
        store.set(event, event)
    snap = store.chain.snap
    state = store.state(snap)
    assert len(unpack_index(state.index)) in (members // PAGE_ENTRIES, members // PAGE_ENTRIES + 1)
    for key in (1, 777, 25_000, 49_999, 50_000):
        needed = state.pages_for([key])
        assert len(needed) <= 1
        assert state.find(key, store.only(needed)) == key
    assert state.find(members + 1, store.only(state.pages_for([members + 1]))) is None
    # Each checkpoint wrote one or two pages anew, not fifty.
    checkpoints = [row for row in store.rows.values() if row.pages is not None]
    assert sum(len(row.new_pages) for row in checkpoints) <= 2 * len(checkpoints)
    bytes_of_rows = sum(len(row.delta) + len(row.pages or b"") for row in store.rows.values())
    bytes_of_pages = sum(len(data) for data in store.pages.values())
    assert (bytes_of_rows + bytes_of_pages) / members < 120  # bytes a join
    # A change in the middle is found against the state before it, reading only the pages that differ.
    store.set(12_345, 60_000)
    new = store.state(store.chain.snap)
    needed = pages_to_compare(state, new)
    assert len(needed) <= 12
    assert compare(state, new, store.only(needed)) == {12_345: (12_345, 60_000)}


def test_random_changes_in_a_large_room() -> None:
    chance = random.Random(7)
    store = Store()
    for event in range(1, 3_001):
        store.set(event, event)
    for event in range(3_001, 4_200):
        store.set(chance.randint(1, 3_500), event)
    for snap in chance.sample(sorted(store.model), 40):
        state, model = store.state(snap), store.model[snap]
        assert state.entries(store.only(state.pages)) == dict(model)
        for key in chance.sample(range(1, 3_600), 20):
            assert state.find(key, store.only(state.pages_for([key]))) == model.get(key)


def test_a_removed_entry_is_gone() -> None:
    store = Store()
    for event in range(1, 6):
        store.set(event, event)
    state = store.state(store.chain.snap)
    without = State(state.index, {**state.changes, 3: REMOVED})
    assert without.find(3, {}) is None
    assert without.entries({}) == {1: 1, 2: 2, 4: 4, 5: 5}
    assert compare(state, without, {}) == {3: (3, None)}


def test_the_page_of_a_key() -> None:
    index = b"".join(key.to_bytes(4, "big") + page.to_bytes(4, "big") for key, page in ((5, 1), (100, 2)))
    assert [page_of(index, key) for key in (1, 5, 99, 100, 10**6)] == [1, 1, 1, 2, 2]
    assert page_of(b"", 5) is None
