from plexus.platform.clock import ManualClock
from plexus.platform.http import Requester
from plexus.platform.lanes import Fact, UserFact
from plexus.users.token_cache import STALE_AFTER, Entry, TokenCache, Watch


def entry(clock: ManualClock, user: str = "@a:x", device: str = "D", token: bytes = b"t") -> Entry:
    return Entry(Requester(user, device, token, False, 0), None, clock.monotonic(), 0)


def cache_with(clock: ManualClock, *entries: Entry, most: int = 10) -> TokenCache:
    cache = TokenCache(clock, most)
    for each in entries:
        cache.put(each.requester.token_hash, each, cache.revocations)
    return cache


def test_an_entry_is_good_for_less_than_a_second_without_the_follower() -> None:
    clock = ManualClock()
    cache = cache_with(clock, entry(clock))
    clock.advance(STALE_AFTER - 0.01)
    assert cache.get(b"t") is not None
    clock.advance(0.02)
    assert cache.get(b"t") is None
    assert STALE_AFTER < 1
    assert b"t" in cache, "it may be confirmed"
    cache.forget(b"t")
    assert b"t" not in cache and len(cache) == 0


def test_a_confirmation_prolongs_it() -> None:
    clock = ManualClock()
    cache = cache_with(clock, entry(clock))
    clock.advance(5)
    cache.confirm(clock.monotonic())
    clock.advance(STALE_AFTER - 0.01)
    assert cache.get(b"t") is not None
    clock.advance(0.02)
    assert cache.get(b"t") is None


def test_a_late_confirmation_does_not_turn_back_time() -> None:
    clock = ManualClock()
    cache = cache_with(clock, entry(clock))
    clock.advance(5)
    cache.confirm(clock.monotonic())
    cache.confirm(1.0)
    assert cache.get(b"t") is not None


def test_a_revocation_takes_the_device_away_and_no_other() -> None:
    clock = ManualClock()
    cache = cache_with(
        clock,
        entry(clock, token=b"1", device="A"),
        entry(clock, token=b"2", device="B"),
        entry(clock, token=b"3", device="A", user="@b:x"),
    )
    cache.see([Fact(1, UserFact.REVOKED, "@a:x", data=b"A")])
    assert [cache.get(token) is not None for token in (b"1", b"2", b"3")] == [False, True, True]
    cache.see([Fact(2, UserFact.REVOKED, "@a:x")])
    assert [cache.get(token) is not None for token in (b"1", b"2", b"3")] == [False, False, True]


def test_a_deactivation_takes_all_of_the_user() -> None:
    clock = ManualClock()
    cache = cache_with(clock, entry(clock, token=b"1", device="A"), entry(clock, token=b"2", device="B"))
    cache.see([Fact(1, UserFact.DEACTIVATED, "@a:x")])
    assert len(cache) == 0


def test_other_facts_take_nothing() -> None:
    clock = ManualClock()
    cache = cache_with(clock, entry(clock))
    cache.see(
        [Fact(1, kind, "@a:x", data=b"D") for kind in UserFact if kind.name not in ("REVOKED", "DEACTIVATED")]
    )
    assert cache.get(b"t") is not None


def test_what_a_revocation_overtook_is_not_kept() -> None:
    clock = ManualClock()
    cache = TokenCache(clock, 10)
    before = cache.revocations
    cache.see([Fact(1, UserFact.REVOKED, "@a:x", data=b"D")])
    cache.put(b"t", entry(clock), before)
    assert cache.get(b"t") is None


def test_the_oldest_entries_make_room() -> None:
    clock = ManualClock()
    cache = cache_with(clock, *(entry(clock, token=bytes([n])) for n in range(20)), most=5)
    assert len(cache) == 5
    assert cache.get(bytes([19])) is not None
    assert cache.get(bytes([0])) is None
    cache.see([Fact(1, UserFact.REVOKED, "@a:x")])
    assert len(cache) == 0


def test_a_watch_is_told_when_the_tokens_are_gone() -> None:
    clock = ManualClock()
    cache = cache_with(clock, entry(clock))
    told: list[tuple[str, str, int]] = []
    end = cache.watch(Watch(lambda user, device: told.append((user, device, len(cache))), lambda: False))
    cache.see([Fact(1, UserFact.REVOKED, "@a:x", data=b"D"), Fact(2, UserFact.PROFILE, "@a:x")])
    cache.see([Fact(3, UserFact.DEACTIVATED, "@b:x")])
    assert told == [("@a:x", "D", 0), ("@b:x", "", 0)]
    end()
    cache.see([Fact(4, UserFact.REVOKED, "@a:x", data=b"D")])
    assert len(told) == 2


def test_it_is_in_use_while_somebody_asks_or_holds() -> None:
    clock = ManualClock()
    cache = cache_with(clock, entry(clock))
    assert not cache.in_use()
    cache.get(b"other")
    assert cache.in_use()
    assert not cache.in_use()
    held = True
    end = cache.watch(Watch(lambda user, device: None, lambda: held))
    assert cache.in_use() and cache.in_use()
    held = False
    assert not cache.in_use()
    held = True
    end()
    assert not cache.in_use()
