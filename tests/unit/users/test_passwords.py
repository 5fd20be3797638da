import asyncio

import pytest
from plexus.platform.settings import PasswordSettings
from plexus.protocol.errors import Unavailable, WeakPassword
from plexus.users import passwords
from plexus.users.passwords import PasswordHasher, check_password_policy

CHEAP = {"hash_time_cost": 1, "hash_memory_kib": 8}


async def test_right_and_wrong() -> None:
    hasher = PasswordHasher(PasswordSettings(**CHEAP))
    hashed = await hasher.hash("correct horse")
    assert hashed.startswith("$argon2id$")
    assert await hasher.verify(hashed, "correct horse")
    assert not await hasher.verify(hashed, "correct horsf")
    assert not await hasher.verify(None, "the password of nobody")
    hasher.close()


async def test_another_cost_is_outdated_and_still_verifies() -> None:
    old = PasswordHasher(PasswordSettings(**CHEAP))
    new = PasswordHasher(PasswordSettings(hash_time_cost=2, hash_memory_kib=8))
    hashed = await old.hash("secret")
    assert not old.is_outdated(hashed)
    assert new.is_outdated(hashed)
    assert await new.verify(hashed, "secret")
    old.close()
    new.close()


async def test_only_so_many_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "MAX_WAITING", 3)
    hasher = PasswordHasher(PasswordSettings(**CHEAP, hash_concurrency=1))
    results = await asyncio.gather(*(hasher.hash("x") for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(result, Unavailable) for result in results) == 2
    assert isinstance(await hasher.hash("x"), str)
    hasher.close()


async def test_an_unreadable_hash_is_our_fault_and_no_wrong_password() -> None:
    hasher = PasswordHasher(PasswordSettings(**CHEAP))
    with pytest.raises(ValueError, match="stored password hash"):
        await hasher.verify("$2b$12$something", "x")
    hasher.close()


@pytest.mark.parametrize(
    ("settings", "weak", "good"),
    [
        ({"min_length": 10}, "123456789", "1234567890"),
        ({"require_digit": True}, "abcdefgh", "abcdefg1"),
        ({"require_lowercase": True}, "ABCDEFGH", "ABCDEFGh"),
        ({"require_uppercase": True}, "abcdefgh", "abcdefgH"),
        ({"require_symbol": True}, "abcdefg1", "abcdefg!"),
        ({}, "x" * 1025, "x" * 1024),
    ],
)
def test_policy(settings: dict[str, int | bool], weak: str, good: str) -> None:
    policy = PasswordSettings.model_validate(settings)
    with pytest.raises(WeakPassword):
        check_password_policy(policy, weak)
    check_password_policy(policy, good)
