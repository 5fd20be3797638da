"""Passwords: Argon2id on a few threads, and what a password must be.

A hash takes tens of milliseconds and megabytes, so only ``hash_concurrency`` are computed at a time and a
bounded number waits; more than that is answered 503. argon2-cffi releases the GIL.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from argon2 import PasswordHasher as Argon2
from argon2 import Type
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError
from plexus.platform.settings import PasswordSettings
from plexus.protocol.errors import Unavailable, WeakPassword

T = TypeVar("T")

MAX_PASSWORD_BYTES = 1024
MAX_WAITING = 64


class PasswordHasher:
    def __init__(self, settings: PasswordSettings) -> None:
        self._argon2 = Argon2(
            time_cost=settings.hash_time_cost,
            memory_cost=settings.hash_memory_kib,
            parallelism=settings.hash_parallelism,
            type=Type.ID,
        )
        self._threads = ThreadPoolExecutor(settings.hash_concurrency, thread_name_prefix="argon2")
        self._slots = asyncio.Semaphore(settings.hash_concurrency)
        self._waiting = 0
        self._nobody: str | None = None

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def hash(self, password: str) -> str:
        """The hash in PHC form, with its parameters and salt."""
        return await self._run(partial(self._argon2.hash, password))

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """Whether the password is right. Without a hash it is wrong, and takes as long."""
        if password_hash is None:
            if self._nobody is None:
                self._nobody = await self.hash("the password of nobody")
            await self._run(partial(self._verify, self._nobody, password))
            return False
        return await self._run(partial(self._verify, password_hash, password))

    def is_outdated(self, password_hash: str) -> bool:
        """Whether it was made with other costs than those of the settings."""
        return self._argon2.check_needs_rehash(password_hash)

    def _verify(self, password_hash: str, password: str) -> bool:
        try:
            return self._argon2.verify(password_hash, password)
        except VerifyMismatchError:
            return False
        except (VerificationError, InvalidHashError) as error:
            raise ValueError("A stored password hash cannot be read") from error

    async def _run(self, work: Callable[[], T]) -> T:
        if self._waiting >= MAX_WAITING:
            raise Unavailable("Too many logins at once, try again")
        self._waiting += 1
        try:
            async with self._slots:
                return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1


def check_password_policy(settings: PasswordSettings, password: str) -> None:
    """`WeakPassword` that says what is missing. Client-Server API, "Password management"."""
    if len(password) < settings.min_length:
        raise WeakPassword(f"A password needs at least {settings.min_length} characters")
    if len(password.encode("utf-8", "replace")) > MAX_PASSWORD_BYTES:
        raise WeakPassword(f"A password has at most {MAX_PASSWORD_BYTES} bytes")
    if settings.require_digit and not any(c.isdigit() for c in password):
        raise WeakPassword("A password needs a digit")
    if settings.require_lowercase and not any(c.islower() for c in password):
        raise WeakPassword("A password needs a small letter")
    if settings.require_uppercase and not any(c.isupper() for c in password):
        raise WeakPassword("A password needs a capital letter")
    if settings.require_symbol and all(c.isalnum() for c in password):
        raise WeakPassword("A password needs a character that is neither letter nor digit")
