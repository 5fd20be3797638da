"""What a client's token stands for here.

A token of an older generation is cut back to where the next one began; one of an unknown generation, or of
another number of lanes, gets a full sync and all of the to-device inbox. A position beyond the head of the
primary, which a restored database can bring about, is cut back to it; one beyond this view only is waited
for. If it is not reached in time the answer is 503, for the client to come back, here or to another replica:
to go on from this view would tell again what was told already.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from plexus.platform.lanes import ROOM, USER, InboxToken, LaneLog, SyncToken
from plexus.protocol.errors import Unavailable
from plexus.sync.replica import Replica
from plexus.sync.replica.cut import Cut

_KEPT = 1024

_GENERATION_SECONDS = 5
"""How long a sync waits for this replica to notice a new generation. It looks once a second."""


class Since(NamedTuple):
    """``cut`` is None when everything is to be told anew. ``to_device`` is what the token says; with `of` it
    is a place in the inbox.
    """

    cut: Cut | None
    to_device: int

    def of(self, lane: int) -> Since:
        """The same with the place in the inbox of a user of this lane.

        No answer tells of messages beyond its cut. So what lies beyond was cut back with it: this generation
        gives it to other messages.
        """
        upto = 0 if self.cut is None else self.cut.users[lane]
        return self if self.to_device <= upto else Since(self.cut, upto)


class Tokens:
    """Reads tokens; all members of a room send the same text, so what it says is kept."""

    def __init__(self, log: LaneLog, replica: Replica, wait_seconds: float) -> None:
        self._log = log
        self._replica = replica
        self._wait = wait_seconds
        self._read: OrderedDict[str, Since] = OrderedDict()

    async def since(self, text: str) -> Since:
        """`InvalidParam` for what is no token."""
        known = self._read.get(text)
        if (
            known is not None
            and known.cut is not None
            and known.cut.generation == self._replica.generation
            and self._replica.cut().covers(known.cut)
        ):
            return known
        return await self._resolve(text)

    async def _resolve(self, text: str) -> Since:
        token = SyncToken.decode(text)
        clamped = await self._log.clamp(token)
        if clamped is None:
            return Since(None, 0)
        if not await self._replica.begins(clamped.generation, _GENERATION_SECONDS):
            raise Unavailable("A new generation has begun and is not followed yet")
        cut = Cut.of_token(clamped)
        self._replica.see_moment(cut)
        if not self._replica.cut().covers(cut):
            cut = await self._reach(cut)
        since = Since(cut, token.to_device)
        self.know(text, since)
        return since

    def inbox(self, token: InboxToken, lane: int) -> InboxToken:
        """The token in terms of this view's generation, and not beyond its cut, for a user of this lane."""
        cut = self._replica.cut()
        upto = cut.users[lane]
        if token.generation != cut.generation:
            ended = self._log.cut_back(token.generation)
            upto = 0 if ended is None else min(upto, ended.user_heads[lane])
        elif token.sequence <= upto:
            return token
        return InboxToken(cut.generation, min(token.sequence, upto))

    def know(self, text: str, since: Since) -> None:
        """Keep what a token says: one that was read, or one that is given out and will come back."""
        if text not in self._read:
            self._read[text] = since
            while len(self._read) > _KEPT:
                self._read.popitem(last=False)

    async def _reach(self, cut: Cut) -> Cut:
        """Wait for what this view has not seen yet; cut back what nobody has. `Unavailable` if this view does
        not come so far in time.
        """
        heads = await self._log.heads(primary=True)
        if heads.generation != cut.generation:
            raise Unavailable("A new generation has begun and is not followed yet")
        rooms = tuple(map(min, cut.rooms, heads.rooms))
        users = tuple(map(min, cut.users, heads.users))
        reached = Cut(cut.generation, rooms, users, epoch=cut.epoch, moment=cut.moment, shows=cut.shows)
        await self._replica.reach(
            {(ROOM, lane): p for lane, p in enumerate(rooms)}
            | {(USER, lane): p for lane, p in enumerate(users)},
            self._wait,
        )
        if not self._replica.cut().covers(reached):
            raise Unavailable("This replica is behind what the token has seen, try again")
        return reached
