"""The lanes under processes that are killed and stopped at random, and what the proof is worth.

``PLEXUS_TEST_LANES_SECONDS`` sets how long the main proof runs: 15 s in ``make test``, 60 s in
``make fault-long``.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fault.lanes.proof import Account, Proof

SECONDS = float(os.environ.get("PLEXUS_TEST_LANES_SECONDS", "15"))


@pytest.fixture
def folder() -> Iterator[Path]:
    # Short, for the sockets, and open to the account that the server runs as.
    with tempfile.TemporaryDirectory(prefix="plexus-proof-") as made:
        path = Path(made)
        path.chmod(0o755)
        yield path


def show(account: Account) -> str:
    return "\n".join([str(account)[:300], *account.wrong[:20]])


@pytest.mark.timeout(SECONDS + 120)
def test_every_follower_sees_every_fact_once_in_order_without_a_hole(folder: Path) -> None:
    account = Proof(folder, "sound", seed=1).run(SECONDS)
    print(show(account))
    assert account.wrong == [], show(account)
    assert account.facts > 500
    assert account.answered > 500
    assert account.kills >= 2 and account.freezes >= 5


@pytest.mark.parametrize("way", ["early", "released"])
def test_the_proof_fails_where_the_rule_is_broken(folder: Path, way: str) -> None:
    """``early`` takes the position before the writes; ``released`` gives back the lock before the commit."""
    account = Proof(folder, way, seed=2, pause=0.005, patience=3.0).run(6)
    print(show(account))
    assert any("follower" in problem for problem in account.wrong), show(account)


@pytest.mark.timeout(SECONDS + 150)
def test_a_restore_in_the_middle_cuts_followers_back_and_skips_nothing(folder: Path) -> None:
    account = Proof(folder, "sound", seed=3).run(max(12.0, SECONDS), restore=True)
    print(show(account))
    assert account.wrong == [], show(account)
    # Something was lost, and the followers had seen it.
    assert account.lost > 0
    assert account.cuts > 0
