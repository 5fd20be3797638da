"""The public face: `Users` joins the features, each of which is a module of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from plexus.platform.beat import on_the_beat
from plexus.platform.context import Platform
from plexus.platform.lanes import USER, Fact, Follower
from plexus.platform.lanes.metrics import observe_follower
from plexus.platform.lanes.shared_read import SharedRead
from plexus.protocol.errors import Unavailable
from plexus.users.account_data import AccountDataStore
from plexus.users.contact import ContactStore
from plexus.users.devices import DeviceStore
from plexus.users.filters import FilterStore
from plexus.users.inbox import InboxStore
from plexus.users.keys import KeyStore
from plexus.users.last_seen import LastSeen
from plexus.users.listing import ListingStore
from plexus.users.presence import Presence
from plexus.users.profiles import ProfileStore
from plexus.users.pushers import PusherStore
from plexus.users.registration_tokens import RegistrationTokenStore
from plexus.users.room_tasks import RoomTaskStore
from plexus.users.short_tokens import ShortTokenStore
from plexus.users.thread_subscriptions import ThreadSubscriptionStore
from plexus.users.threepids import ThreepidStore
from plexus.users.uia_sessions import UiaSessionStore

log = logging.getLogger(__name__)

CONFIRM_SECONDS = 1.0
"""How often the token cache is confirmed while tokens are asked for or requests are held: a little more than
an entry is good for, so one in ten of those who come first asks itself. Each reads the primary's heads, in
every process that serves clients.
"""
_PATIENCE = 0.5
_PATIENCE_OF_A_REQUEST = 0.05
"""Seconds that the follower is waited for; a request reads its token itself after that."""
_IDLE_POLL = 5.0
"""Seconds. While tokens are in use the confirmation looks at the heads, far more often; while none are,
nobody waits for what a lost publish would tell."""


class Users(
    ShortTokenStore,
    RegistrationTokenStore,
    ThreepidStore,
    UiaSessionStore,
    DeviceStore,
    AccountDataStore,
    ContactStore,
    ThreadSubscriptionStore,
    PusherStore,
    ProfileStore,
    RoomTaskStore,
    FilterStore,
    KeyStore,
    ListingStore,
    InboxStore,
):
    """Everything keyed by a user. One a process, made over a `Platform`; ``start`` before use, ``stop`` at
    the end.

    It is the `Authenticator` of every service. ``presence`` is started by the services that need it.
    """

    def __init__(self, platform: Platform) -> None:
        super().__init__(platform)
        every_ms = platform.settings.sessions.last_seen_minutes * 60_000
        self.last_seen = LastSeen(self.db, self.clock, every_ms, self.lane)
        self.presence = Presence(
            platform.ephemeral, self.db, self.clock, platform.settings.presence, self.last_seen
        )
        self._follower = Follower(
            platform,
            (USER,),
            self._follow,
            name="users",
            on_generation=self._begin_generation,
            idle_poll=_IDLE_POLL,
            waiting_bytes=platform.settings.facts.waiting_mb * 1024 * 1024,
        )
        observe_follower(platform.telemetry.metrics, self._follower)
        self._confirming: asyncio.Task[None] | None = None
        self.confirmation = SharedRead(lambda: self._confirm_once(_PATIENCE_OF_A_REQUEST))

    async def start(self) -> None:
        await self._follower.start()
        await self.last_seen.start()
        self._confirming = asyncio.create_task(self._confirm_tokens(), name="confirm-tokens")

    async def stop(self) -> None:
        if self._confirming is not None:
            self._confirming.cancel()
            await asyncio.gather(self._confirming, return_exceptions=True)
        await self.presence.stop()
        await self._follower.stop()
        await self.last_seen.stop()
        self.hasher.close()

    def _follow(self, family: str, lane: int, facts: Sequence[Fact]) -> None:
        self.tokens.see(facts)
        self.member_rules.see(facts)
        self.erased.see(facts)

    def _begin_generation(self, old: int, new: int) -> None:
        self.tokens.clear()
        self.member_rules.clear()
        self.erased.clear()

    async def _confirm_tokens(self) -> None:
        while True:
            await asyncio.sleep(on_the_beat(CONFIRM_SECONDS))
            if not self.tokens.in_use():
                continue
            try:
                await self._confirm_once(_PATIENCE)
            except Unavailable as error:
                log.warning("access tokens are read again each second: %s", error)
            except Exception:
                # Without this task every token would be read once a second for ever: slow, but right.
                log.exception("confirming the access tokens failed")

    async def _confirm_once(self, patience: float) -> None:
        began = self.clock.monotonic()
        heads = await self.platform.log.heads(primary=True)
        reached = await asyncio.gather(
            *(
                self._follower.wait_for(USER, lane, head, patience)
                for lane, head in enumerate(heads.users)
                if self._follower.position(USER, lane) < head
            )
        )
        if all(reached):
            self.tokens.confirm(began)
