"""``rooms.join`` and ``rooms.leave``: timelines and state.

Which rooms have something to tell:

- within the tail, the rooms of the user that have facts between token and cut: found by walking those facts,
  or the user's rooms, whichever are fewer;
- beyond the tail, those whose head at the cut lies beyond the token: one query for all rooms of the lanes
  concerned.

A member who was in the room all the while gets the fragment that all such members share. One who came in
between gets the room as at an initial sync, with what they may see of its timeline; one who went, what there
was until then.

Client-Server API, "Syncing"; "Room History Visibility".
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from plexus.platform.lanes import RoomFact
from plexus.rooms import RoomRef, Rooms
from plexus.sync.filters import Shape
from plexus.sync.fragments.build import Builder
from plexus.sync.fragments.fragment import HEROES, Fragment
from plexus.sync.fragments.timeline import Work
from plexus.sync.replica import Cut, Replica
from plexus.sync.replica.tail import HI, KIND, LO, TailFact
from plexus.sync.replica.views import Membership, holds_at
from plexus.sync.streams.context import Answer
from plexus.sync.streams.leaving import Leaving, archived, left, was_joined

BATCH = 40
"""Rooms that are read together beyond the tail: what is in memory at a time."""

_EVENTS = int(RoomFact.EVENTS)


class RoomStream:
    def __init__(self, replica: Replica, rooms: Rooms, builder: Builder) -> None:
        self._replica = replica
        self._rooms = rooms
        self._builder = builder

    async def changes(self, answer: Answer, since: Cut) -> None:
        """Add what has happened in the user's rooms since a cut."""
        view = answer.view
        works: list[Work] = []
        beyond: list[Membership] = []
        span = self._replica.span(since, answer.cut)
        if span.in_tail:
            for membership in span.among(view.joined, RoomFact.EVENTS):
                self._plan(answer, membership, since, works)
        else:
            for membership in view.joined.values():
                lane = membership.ref.lane
                if lane not in span.moved or not answer.filter.wants_room(membership.ref.room_id):
                    continue
                if not holds_at(answer.cut, membership):
                    continue
                if since.rooms[lane] >= self._replica.rooms.lanes[lane].floor:
                    self._plan(answer, membership, since, works)
                else:
                    beyond.append(membership)
        if answer.newly_joined:
            await self._note_returns(answer, works)
        for start in range(0, len(works), BATCH):
            if start:
                # What the tail has is made without waiting: others are not to wait for all of it.
                await asyncio.sleep(0)
            await self.add(answer, works[start : start + BATCH], answer.joined)
        for start in range(0, len(beyond), BATCH):
            batch = await self._works_beyond(answer, beyond[start : start + BATCH], since)
            await self._note_returns(answer, batch)
            await self.add(answer, batch, answer.joined)
        await self._add_left(answer, since)

    def everything(self, answer: Answer, since: Cut | None) -> AsyncIterator[None]:
        """Add all rooms with their whole state, in batches: after each the iterator comes back.

        Which rooms those are is settled by this call, not by the iteration.
        """
        joined = [
            membership
            for membership in answer.view.joined.values()
            if holds_at(answer.cut, membership) and answer.filter.wants_room(membership.ref.room_id)
        ]
        return self._batches(answer, joined, since)

    async def _batches(
        self, answer: Answer, joined: Sequence[Membership], since: Cut | None
    ) -> AsyncIterator[None]:
        for start in range(0, len(joined), BATCH):
            batch = joined[start : start + BATCH]
            heads = await self._rooms.heads([membership.ref for membership in batch], answer.cut.rooms)
            afters = await self._afters(batch, since)
            works = []
            for membership, after in zip(batch, afters, strict=True):
                ref = membership.ref
                if ref not in heads:
                    continue
                upto = heads[ref].ordinal
                if since is not None and (after is None or membership.position > since.rooms[ref.lane]):
                    works.append(_anew(answer, ref, upto, after))
                else:
                    works.append(
                        Work(
                            ref,
                            after or 0,
                            upto,
                            answer.filter.shape,
                            answer.state_after,
                            is_full=True,
                            stands=after,
                        )
                    )
            await self._keep_returns(answer, works)
            await self.add(answer, works, answer.joined)
            yield
        if since is not None:
            await self._add_left(answer, since)
        elif answer.filter.filter.room.include_leave:
            await self._add_archived(answer, answer.cut)

    async def add(self, answer: Answer, works: Sequence[Work], sections: dict[str, bytes]) -> None:
        """Make or find the fragments of these works and add to ``sections`` what they tell this user."""
        fragments = await self._fragments(answer, works)
        if answer.ignoring is not None:
            works, fragments = await self._without_ignored(answer, answer.ignoring, works, fragments)
        lazy = self._lazy(answer, works, fragments)
        if any(lazy):
            fragments = await self._builder.load_members(
                list(zip(fragments, lazy, strict=True)), answer.filter.shape, answer.user_id
            )
        for work, fragment, users in zip(works, fragments, lazy, strict=True):
            if fragment.is_empty and sections is answer.joined and not work.is_full:
                answer.quiet.append(work.ref)
                continue
            room_id = work.ref.room_id
            section = fragment.render(
                answer.user_id, answer.device_id, users, answer.now_ms, answer.state_keys
            )
            sections[room_id] = section
            if users:
                answer.members.append((room_id, users))
            if fragment.encrypts:
                answer.encrypted.append(work.ref)
            answer.came |= fragment.joined
            answer.went |= fragment.left

    def _plan(self, answer: Answer, membership: Membership, since: Cut, works: list[Work]) -> None:
        """Note what there is to tell of a room by the tail, if anything."""
        work = self._work(answer, membership, since)
        if work is not None:
            works.append(work)

    def _work(self, answer: Answer, membership: Membership, since: Cut) -> Work | None:
        """What there is to tell of a room by the tail; None if nothing."""
        ref = membership.ref
        if not holds_at(answer.cut, membership) or not answer.filter.wants_room(ref.room_id):
            return None
        facts = self._events(ref, since.rooms[ref.lane], answer.cut.rooms[ref.lane])
        if not facts:
            return None
        if membership.position > since.rooms[ref.lane]:
            answer.newly_joined.append(ref)
            return _anew(answer, ref, facts[-1][HI], facts[0][LO] - 1)
        return Work(
            ref, facts[0][LO] - 1, facts[-1][HI], answer.filter.shape, answer.state_after, facts=facts
        )

    def _events(self, ref: RoomRef, after: int, upto: int) -> list[TailFact]:
        subject = self._replica.rooms.subjects.get(ref.room_id)
        return [] if subject is None else [f for f in subject.between(after, upto) if f[KIND] == _EVENTS]

    async def _works_beyond(
        self, answer: Answer, memberships: Sequence[Membership], since: Cut
    ) -> list[Work]:
        """The same from the database."""
        heads = await self._rooms.heads([m.ref for m in memberships], answer.cut.rooms)
        changed = [
            m for m in memberships if m.ref in heads and heads[m.ref].position > since.rooms[m.ref.lane]
        ]
        afters = await self._afters(changed, since)
        works = []
        for membership, after in zip(changed, afters, strict=True):
            ref = membership.ref
            is_new = membership.position > since.rooms[ref.lane]
            if is_new:
                answer.newly_joined.append(ref)
            upto = heads[ref].ordinal
            if is_new or after is None:
                works.append(_anew(answer, ref, upto, after))
            else:
                works.append(Work(ref, after, upto, answer.filter.shape, answer.state_after))
        return works

    async def _note_returns(self, answer: Answer, works: Sequence[Work]) -> None:
        """Note that who has left a room and come back may not share it any more with all they did before."""
        await self._keep_returns(answer, works)
        answer.newly_left += [(work.ref, work.stands) for work in works if work.stands]

    async def _keep_returns(self, answer: Answer, works: Sequence[Work]) -> None:
        """Forget where the client stands in rooms told anew, except those that the user was in there."""
        anew = [work for work in works if work.begins_anew and work.stands]
        if not anew:
            return
        eyes = await self._rooms.viewers([work.ref for work in anew], answer.user_id)
        for work in anew:
            if work.stands is not None and not was_joined(eyes[work.ref], work.stands):
                work.stands = None

    async def _afters(self, memberships: Sequence[Membership], since: Cut | None) -> Sequence[int | None]:
        """The ordinals up to which a client with this token has the rooms; None where that is not known."""
        if since is None or not memberships:
            return [None] * len(memberships)
        return await self._rooms.ordinals_at([(m.ref, since.rooms[m.ref.lane]) for m in memberships])

    async def _add_left(self, answer: Answer, since: Cut) -> None:
        """Add the rooms that the user has left, or was removed from, since a cut. Of those that they have
        been invited to since, or knock at, only that they have left them.
        """
        for membership in tuple(answer.view.others_since(since)):
            ref = membership.ref
            if membership.position <= since.rooms[ref.lane] or not holds_at(answer.cut, membership):
                continue
            if not answer.filter.wants_room(ref.room_id):
                continue
            is_out = membership.membership in ("leave", "ban")
            eyes = (await self._rooms.viewers([ref], answer.user_id))[ref]
            if not (is_out or eyes.has_joined):
                continue
            stands = await self._rooms.ordinal_at(ref, since.rooms[ref.lane])
            told = left(eyes, membership.ordinal, stands)
            if is_out:
                await self.add(answer, [self._left_work(answer, ref, told)], answer.left)
            if told.members_at is not None:
                answer.newly_left.append((ref, told.members_at))

    async def _add_archived(self, answer: Answer, cut: Cut) -> None:
        """Add all rooms that the user has left and not forgotten."""
        rows = await self._rooms.rooms_of(answer.user_id, {"leave", "ban"}, cut=cut.rooms)
        rows = [row for row in rows if not row.forgotten and answer.filter.wants_room(row.room_id)]
        for row in rows:
            eyes = (await self._rooms.viewers([row.ref], answer.user_id))[row.ref]
            told = archived(eyes, row.from_ordinal)
            await self.add(answer, [self._left_work(answer, row.ref, told)], answer.left)

    def _left_work(self, answer: Answer, ref: RoomRef, told: Leaving) -> Work:
        return Work(
            ref,
            told.after or 0,
            told.upto,
            answer.filter.shape,
            answer.state_after,
            is_full=told.after is None,
            viewer=answer.user_id,
            begins_anew=told.has_gap,
            is_left=True,
        )

    async def _fragments(self, answer: Answer, works: Sequence[Work]) -> Sequence[Fragment]:
        cache = self._replica.fragments
        if len(works) == 1:
            return [await self._fragment(answer, works[0])]
        keys = [_key(work) for work in works]
        found = [cache.get(key) if key is not None else None for key in keys]
        missing = [index for index, fragment in enumerate(found) if fragment is None]
        forgotten = cache.forgotten
        for index, fragment in zip(
            missing, await self._builder.build([works[i] for i in missing]) if missing else (), strict=True
        ):
            found[index] = fragment
            key = keys[index]
            if key is not None and forgotten == cache.forgotten:
                cache.put(key, fragment)
        fragments = [fragment for fragment in found if fragment is not None]
        await self._make_own(answer, works, fragments)
        return fragments

    async def _without_ignored(
        self, answer: Answer, shape: Shape, works: Sequence[Work], fragments: Sequence[Fragment]
    ) -> tuple[Sequence[Work], Sequence[Fragment]]:
        """The fragments for a user who ignores some: where one of those has said something, another, which
        all share who ignore the same.
        """
        told = [index for index, fragment in enumerate(fragments) if fragment.speaks_of(shape.ignored)]
        if not told:
            return works, fragments
        works, fragments = list(works), list(fragments)
        for index in told:
            works[index] = replace(works[index], shape=shape)
        made = await self._fragments(answer, [works[index] for index in told])
        for index, fragment in zip(told, made, strict=True):
            fragments[index] = fragment
        return works, fragments

    async def _fragment(self, answer: Answer, work: Work) -> Fragment:
        key = _key(work)
        if key is None:
            return (await self._builder.build([work]))[0]
        fragment = self._replica.fragments.get(key)
        if fragment is None:

            async def build() -> Fragment:
                return (await self._builder.build([work]))[0]

            fragment = await self._replica.fragments.get_or_build(key, build)
        fragments = [fragment]
        await self._make_own(answer, [work], fragments)
        return fragments[0]

    async def _make_own(self, answer: Answer, works: Sequence[Work], fragments: list[Fragment]) -> None:
        """Put in place of fragments made for the members of a room what the user is to see of them who came
        later: than its first event, or than somebody went who is now erased.
        """
        own: set[int] = set()
        unsure: dict[int, set[str]] = {}
        for index, (work, fragment) in enumerate(zip(works, fragments, strict=True)):
            if work.viewer is not None or not (work.is_full or fragment.embedded):
                continue
            membership = answer.view.joined.get(work.ref.room_id)
            first = fragment.first_ordinal if work.is_full else None
            if first is not None and (membership is None or membership.ordinal > first):
                own.add(index)
            elif fragment.last_words or fragment.embedded:
                there = 0 if membership is None else membership.ordinal
                unheard = {user for user, since in fragment.embedded.items() if since < there}
                if unheard or fragment.last_words:
                    unsure[index] = unheard.union(fragment.last_words)
        if unsure:
            erased = await self._rooms.erased(set[str]().union(*unsure.values()))
            own.update(index for index, users in unsure.items() if not users.isdisjoint(erased))
        if own:
            made = await self._builder.for_viewer([(works[i], fragments[i]) for i in own], answer.user_id)
            for index, fragment in zip(own, made, strict=True):
                fragments[index] = fragment

    def _lazy(
        self, answer: Answer, works: Sequence[Work], fragments: Sequence[Fragment]
    ) -> list[frozenset[str]]:
        """The users whose member events each section needs besides."""
        shape = answer.filter.shape
        if not shape.loads_members:
            return [frozenset()] * len(works)
        sent = None
        if answer.device_id is not None and not shape.redundant:
            sent = answer.view.device(answer.device_id).members
        needed = []
        for fragment in fragments:
            users = fragment.lazy
            if fragment.is_full:
                users = users | {answer.user_id}
                if sent is not None:
                    sent.forget(fragment.ref.room_id)
            if fragment.summary is not None:
                users = users.union(fragment.summary.heroes(answer.user_id, HEROES))
            if fragment.covered:
                # At the start of the timeline theirs may have been an older one.
                users = users - fragment.covered
            if users and sent is not None and not fragment.is_full:
                users = sent.unknown(fragment.ref.room_id, users)
            needed.append(users)
        return needed


def _anew(answer: Answer, ref: RoomRef, upto: int, stands: int | None) -> Work:
    """A room that the user has come into, or of which it is not known any more where the client stands since
    the facts are gone: all state, and the newest of the timeline.
    """
    return Work(
        ref,
        0,
        upto,
        answer.filter.shape,
        answer.state_after,
        is_full=True,
        begins_anew=True,
        stands=stands,
    )


def _key(work: Work) -> tuple[str, object] | None:
    if work.viewer is not None:
        return None
    return (
        work.ref.room_id,
        (work.after, work.upto, work.shape, work.state_after, work.is_full, work.begins_anew, work.stands),
    )
