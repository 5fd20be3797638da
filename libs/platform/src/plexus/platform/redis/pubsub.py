"""What is published in Redis, heard on one connection of the process.

A connection that breaks, or says nothing for a while and does not answer when asked, is made anew, and all
channels are subscribed to again. What was published in between is not heard: at most once, no history. Nor is
what this process publishes during an outage of the other connection. Each time one of the two is back the
subscribers are told: at the second time both work.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from typing import Any

from plexus.platform.redis.connection import RedisAway, RedisConnection
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError, ResponseError

log = logging.getLogger(__name__)

_SILENCE_SECONDS = 10.0

Callback = Callable[[bytes], None]
Again = Callable[[], None] | None


class _Subscription:
    """``missed``: it has not been heard from for a time."""

    def __init__(self, owner: Subscriptions, channel: bytes, callback: Callback, again: Again) -> None:
        self._owner = owner
        self._channel = channel
        self.callback = callback
        self.again = again
        self.missed = False
        self.closed = False

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._owner.remove(self._channel, self)


class Subscriptions:
    """Connects with the first subscription."""

    def __init__(self, redis: RedisConnection) -> None:
        self._redis = redis
        self._channels: dict[bytes, list[_Subscription]] = {}
        self._confirmed: dict[bytes, asyncio.Event] = {}
        self._connection: AbstractConnection | None = None
        self._task: asyncio.Task[None] | None = None
        self._leaving: set[asyncio.Task[None]] = set()
        redis.on_return(self._begin_again)

    async def add(self, name: str, callback: Callback, again: Again = None) -> _Subscription:
        """What is published after this returns is heard, unless Redis is away."""
        channel = self._redis.key("channel", name)
        subscription = _Subscription(self, channel, callback, again)
        first = channel not in self._channels
        self._channels.setdefault(channel, []).append(subscription)
        if first:
            self._confirmed[channel] = asyncio.Event()
            if self._task is None:
                self._task = asyncio.create_task(self._run(), name="redis subscriptions")
            else:
                await self._send("SUBSCRIBE", channel)
        try:
            async with asyncio.timeout(self._redis.timeout if self._redis.up else 0):
                await self._confirmed[channel].wait()
        except TimeoutError:
            subscription.missed = True
            log.info("A subscription waits for Redis")
        return subscription

    def remove(self, channel: bytes, subscription: _Subscription) -> None:
        left = self._channels.get(channel, [])
        if subscription in left:
            left.remove(subscription)
            if not left:
                del self._channels[channel], self._confirmed[channel]
                task = asyncio.create_task(self._leave(channel))
                self._leaving.add(task)
                task.add_done_callback(self._leaving.discard)

    async def close(self) -> None:
        tasks = [*self._leaving, *([self._task] if self._task else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._channels.clear()
        self._confirmed.clear()

    async def _leave(self, channel: bytes) -> None:
        # Somebody may have come since.
        if channel not in self._channels:
            await self._send("UNSUBSCRIBE", channel)

    async def _send(self, command: str, *channels: bytes) -> None:
        """Say it if there is a connection; a new one subscribes to everything anyway."""
        if self._connection is not None:
            try:
                await self._connection.send_command(command, *channels, check_health=False)
            except (RedisError, OSError) as error:
                log.info("The connection for subscriptions broke: %s", error)

    async def _run(self) -> None:
        while True:
            try:
                await self._listen()
            except ResponseError as error:
                log.warning("Redis refuses subscriptions: %s", error)
            except (RedisAway, RedisError, OSError) as error:
                # Whether this is an outage is for the other connection to find out, and to say.
                log.info("The connection for subscriptions broke: %s", error)
                self._redis.suspect()
            except Exception:
                log.exception("Subscriptions failed unexpectedly")
            await asyncio.sleep(self._redis.retry)

    async def _listen(self) -> None:
        connection = await self._redis.connection()
        try:
            self._connection = connection
            if self._channels:
                await self._send("SUBSCRIBE", *self._channels)
            silent = False
            while True:
                try:
                    async with asyncio.timeout(_SILENCE_SECONDS):
                        message = await connection.read_response(
                            disable_decoding=True, timeout=math.inf, disconnect_on_error=False
                        )
                except TimeoutError:
                    if silent:
                        raise
                    silent = True
                    await connection.send_command("PING", check_health=False)
                else:
                    silent = False
                    self._take(message)
        finally:
            self._connection = None
            for confirmed in self._confirmed.values():
                confirmed.clear()
            for subscription in self._all():
                subscription.missed = True
            await self._redis.release(connection)

    def _take(self, message: Any) -> None:
        match message:
            case [b"subscribe", bytes(channel), _] if channel in self._confirmed:
                self._confirmed[channel].set()
                for subscription in tuple(self._channels[channel]):
                    if subscription.missed:
                        subscription.missed = False
                        self._tell(subscription)
            case [b"message", bytes(channel), bytes(payload)]:
                for subscription in tuple(self._channels.get(channel, ())):
                    self._hand(subscription, payload)

    def _all(self) -> list[_Subscription]:
        return [subscription for subscriptions in self._channels.values() for subscription in subscriptions]

    def _begin_again(self) -> None:
        """What this process has published meanwhile is lost."""
        for subscription in self._all():
            self._tell(subscription)

    def _tell(self, subscription: _Subscription) -> None:
        if subscription.again is not None and not subscription.closed:
            try:
                subscription.again()
            except Exception:
                log.exception("A subscriber failed")

    def _hand(self, subscription: _Subscription, payload: bytes) -> None:
        if subscription.closed:
            return
        try:
            subscription.callback(payload)
        except Exception:
            # The publisher has nothing to do with it, nor have the other subscribers.
            log.exception("A subscriber failed")
