"""Requests that have just come are looked into a few at a time.

When a replica leaves or dies its users come to the others in one moment, each with a token and a view that
are not known there: some five questions to the database each. Asked all at once, those that wait longest for
a connection would be answered 503. So they wait here instead, in the order in which they came, and hardly
ever otherwise: what is known asks nothing and takes no time. A turn ends before anything is waited for but
the database.
"""

from __future__ import annotations

import asyncio


class Turns:
    """``async with`` it. ``waiting`` is for how many it is not their turn yet."""

    __slots__ = ("_free", "waiting")

    def __init__(self, most: int) -> None:
        self._free = asyncio.Semaphore(most)
        self.waiting = 0

    async def __aenter__(self) -> None:
        self.waiting += 1
        try:
            await self._free.acquire()
        finally:
            self.waiting -= 1

    async def __aexit__(self, *_: object) -> None:
        self._free.release()
