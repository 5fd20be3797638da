"""Snapshots: the state of a room at a point, packed. Pure code over bytes; what it needs is handed in.

A state maps keys to events: both are numbers of the room (``rooms.state_key``, ``rooms.event``), 12 bytes an
entry. Storing it takes two kinds of snapshots:

- A *checkpoint* has the whole state as sorted pages of at most 1,000 entries, and an index of their first
  keys. Pages never change, so a new checkpoint shares those that it did not touch with the one before. A
  look-up bisects the index and then the page, in place.
- Any other snapshot has a parent and what differs from it. The parent is not the one before but is chosen as
  in a Fenwick tree: the snapshot of step k after a checkpoint differs from that of step ``k & (k - 1)``. So
  256 changes need one checkpoint, any snapshot is at most 8 steps from it, and a delta has 4.5 entries on
  average.

A step is what one event changes, or what a resolution of forked states comes to: then it may be many entries.
Forks branch the way like a tree; each way keeps to the rule.

Snapshot 0 is the empty state, the checkpoint of every new room; it has no row.

The *hash* of a snapshot names its state, however it came about: the sum, modulo 2**256, of a keyed hash of
each entry. So a change costs two hashes, and nobody without the room's salt can build two states of one hash.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from struct import Struct
from typing import TypeAlias

EMPTY = 0
"""The snapshot of the empty state."""

REMOVED = 0
"""As the event of an entry of a delta: the key is gone. Events count from 1."""

PAGE_ENTRIES = 1000
MAX_STEPS = 256

_ENTRY = Struct(">iq")
_INDEX = Struct(">ii")
_KEY = Struct(">i")
_MODULUS = 1 << 256


# --- entries, sorted and packed


def pack(entries: Iterable[tuple[int, int]]) -> bytes:
    """Entries (key, event), sorted by key, as bytes."""
    entry = _ENTRY.pack
    return b"".join([entry(key, event) for key, event in entries])


def unpack(data: bytes) -> Iterator[tuple[int, int]]:
    return _ENTRY.iter_unpack(data)


def pack_index(index: Iterable[tuple[int, int]]) -> bytes:
    """Pairs (first key, page), sorted by key, as bytes."""
    return b"".join([_INDEX.pack(key, page) for key, page in index])


def unpack_index(data: bytes) -> list[tuple[int, int]]:
    return list(_INDEX.iter_unpack(data))


def find(data: bytes, key: int) -> int | None:
    """The event of ``key`` in packed entries, by bisecting the bytes."""
    at = _last_not_above(data, _ENTRY.size, key)
    if at < 0:
        return None
    found, event = _ENTRY.unpack_from(data, at)
    return event if found == key else None


def page_of(index: bytes, key: int) -> int | None:
    """The page that holds ``key`` if any does."""
    at = _last_not_above(index, _INDEX.size, key)
    if at < 0:
        # A key before the first one would be put into the first page.
        at = 0
    return _INDEX.unpack_from(index, at)[1] if index else None


def _last_not_above(data: bytes, size: int, key: int) -> int:
    """The offset of the last element whose key is at most ``key``, or -1."""
    low, high = 0, len(data) // size
    while low < high:
        middle = (low + high) // 2
        if _KEY.unpack_from(data, middle * size)[0] <= key:
            low = middle + 1
        else:
            high = middle
    return (low - 1) * size if low else -1


# --- hashes


def entry_hash(salt: bytes, key: int, event: int) -> int:
    """The hash of one entry under the room's salt (16 bytes)."""
    return int.from_bytes(blake2b(_ENTRY.pack(key, event), key=salt, digest_size=32).digest(), "big")


Changes: TypeAlias = Mapping[int, tuple[int | None, int | None]]
"""Keys, each with its event before and after (None: not there)."""


def hash_after(before: int, salt: bytes, changes: Changes) -> int:
    """The hash of a state after these changes."""
    value = before
    for key, (old, new) in changes.items():
        if old is not None:
            value -= entry_hash(salt, key, old)
        if new is not None:
            value += entry_hash(salt, key, new)
    return value % _MODULUS


def hash_bytes(value: int) -> bytes:
    return value.to_bytes(32, "big")


# --- reading


@dataclass(frozen=True, slots=True)
class State:
    """A snapshot ready to be read: its checkpoint's index, and all that differs from the checkpoint."""

    index: bytes
    changes: Mapping[int, int]

    def pages_for(self, keys: Iterable[int]) -> set[int]:
        """The pages without which `find` cannot tell about these keys."""
        if not self.index:
            return set()
        pages = {page_of(self.index, key) for key in keys if key not in self.changes}
        return {page for page in pages if page is not None}

    @property
    def pages(self) -> set[int]:
        return {page for _, page in unpack_index(self.index)}

    def find(self, key: int, pages: Mapping[int, bytes]) -> int | None:
        """The event of a key, or None. ``pages`` has at least those of `pages_for`."""
        event = self.changes.get(key)
        if event is not None:
            return None if event == REMOVED else event
        page = page_of(self.index, key)
        return None if page is None else find(pages[page], key)

    def entries(self, pages: Mapping[int, bytes]) -> dict[int, int]:
        """The whole state. ``pages`` has all of `pages`."""
        state: dict[int, int] = {}
        for _, page in unpack_index(self.index):
            state.update(unpack(pages[page]))
        for key, event in self.changes.items():
            if event == REMOVED:
                state.pop(key, None)
            else:
                state[key] = event
        return state


def pages_to_compare(old: State, new: State) -> set[int]:
    """The pages that `compare` needs: those not shared, and those that the changes overlay."""
    keys = old.changes.keys() | new.changes.keys()
    return (
        (old.pages ^ new.pages)
        | {page for key in keys if (page := page_of(old.index, key)) is not None}
        | {page for key in keys if (page := page_of(new.index, key)) is not None}
    )


def compare(old: State, new: State, pages: Mapping[int, bytes]) -> Changes:
    """The keys whose event differs, each with the event in ``old`` and in ``new`` (None: not there)."""
    keys = set(old.changes.keys() | new.changes.keys())
    # Whole pages as sets: bisecting for every entry of a page takes twenty times as long.
    ours, theirs = old.pages, new.pages
    before = {entry for page in ours - theirs for entry in unpack(pages[page])}
    after = {entry for page in theirs - ours for entry in unpack(pages[page])}
    keys.update(key for key, _ in before ^ after)
    found = ((key, old.find(key, pages), new.find(key, pages)) for key in keys)
    return {key: (before, after) for key, before, after in found if before != after}


# --- writing


@dataclass(frozen=True, slots=True)
class Node:
    """One step on the way from a checkpoint to a snapshot. ``delta`` is not changed after the node was
    made.
    """

    snap: int
    step: int
    delta: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Row:
    """A row of ``rooms.snapshot``, and the pages that it needs anew."""

    snap: int
    parent: int | None
    step: int
    hash: bytes
    delta: bytes
    pages: bytes | None
    new_pages: tuple[tuple[int, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Chain:
    """A snapshot with the way to it: ``base`` is the checkpoint, ``nodes`` lead from it, the last is the
    snapshot.
    """

    base: int
    index: bytes
    nodes: tuple[Node, ...]
    hash: int

    @property
    def snap(self) -> int:
        return self.nodes[-1].snap if self.nodes else self.base

    @property
    def step(self) -> int:
        return self.nodes[-1].step if self.nodes else 0

    @property
    def state(self) -> State:
        changes: dict[int, int] = {}
        for node in self.nodes:
            changes.update(node.delta)
        return State(self.index, changes)

    def pages_to_advance(self, keys: Iterable[int], count: int) -> set[int]:
        """The pages that ``count`` changes of ``keys`` may rewrite: none unless a checkpoint is due."""
        if self.step + count < MAX_STEPS or not self.index:
            return set()
        touched = set(keys)
        for node in self.nodes:
            touched.update(node.delta)
        return {page for key in touched if (page := page_of(self.index, key)) is not None}

    def advance(
        self, changes: Changes, *, snap: int, salt: bytes, next_page: int, pages: Mapping[int, bytes]
    ) -> tuple[Chain, Row]:
        """The chain to a new snapshot ``snap`` after these changes, and its row.

        New pages are numbered from ``next_page``. ``pages`` has those of `pages_to_advance`.
        """
        value = hash_after(self.hash, salt, changes)
        entries = {key: REMOVED if new is None else new for key, (_, new) in changes.items()}
        step = self.step + 1
        if step == MAX_STEPS:
            index, new_pages = _rewrite(self.index, {**self.state.changes, **entries}, next_page, pages)
            row = Row(snap, None, 0, hash_bytes(value), b"", index, new_pages)
            return Chain(snap, index, (), value), row
        kept = list(self.nodes)
        merged: list[Mapping[int, int]] = []
        while kept and kept[-1].step > step & (step - 1):
            merged.append(kept.pop().delta)
        delta: dict[int, int] = {}
        for part in reversed(merged):
            delta.update(part)
        delta.update(entries)
        parent = kept[-1].snap if kept else self.base
        kept.append(Node(snap, step, delta))
        row = Row(snap, parent, step, hash_bytes(value), pack(sorted(delta.items())), None)
        return Chain(self.base, self.index, tuple(kept), value), row


def _rewrite(
    index: bytes, changes: Mapping[int, int], next_page: int, pages: Mapping[int, bytes]
) -> tuple[bytes, tuple[tuple[int, bytes], ...]]:
    """A new index, and the pages that the changes touch, written anew."""
    by_page: dict[int | None, dict[int, int]] = {}
    for key, event in changes.items():
        by_page.setdefault(page_of(index, key), {})[key] = event
    kept: list[tuple[int, int]] = []
    old: list[tuple[int, int | None]] = [*unpack_index(index)] or [(0, None)]
    new: list[tuple[int, bytes]] = []
    for first, page in old:
        touched = by_page.get(page)
        if touched is None:
            if page is not None:
                kept.append((first, page))
            continue
        merged = {} if page is None else dict(unpack(pages[page]))
        merged.update(touched)
        entries = sorted((key, event) for key, event in merged.items() if event != REMOVED)
        for part in _split(entries):
            kept.append((part[0][0], next_page))
            new.append((next_page, pack(part)))
            next_page += 1
    return pack_index(kept), tuple(new)


def _split(entries: list[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
    # Full pages first: new keys have the highest numbers, so rooms grow at the end and full pages stay as
    # they are.
    for at in range(0, len(entries), PAGE_ENTRIES):
        yield entries[at : at + PAGE_ENTRIES]
