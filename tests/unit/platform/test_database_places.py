"""Whether reads may come from another server than writes go to."""

from __future__ import annotations

import pytest
from plexus.platform.postgres import Database


@pytest.mark.parametrize(
    ("writer", "reader"),
    [
        ("host=127.0.0.1 port=6432 user=w dbname=plexus", "host=127.0.0.1 port=6432 user=r dbname=plexus"),
        ("postgresql://w:one@pooler/plexus", "postgresql://r:two@pooler/plexus"),
        ("postgresql://w:one@pooler/plexus", "host=pooler user=r password=two dbname=plexus"),
        (
            "postgresql://w@a,b/plexus?target_session_attrs=read-write",
            "postgresql://r@a,b/plexus?target_session_attrs=read-write",
        ),
    ],
)
def test_the_same_place_has_no_replica(writer: str, reader: str) -> None:
    assert not Database(writer, reader).has_replica


@pytest.mark.parametrize(
    ("writer", "reader"),
    [
        ("host=127.0.0.1 port=6432 user=w dbname=plexus", "host=127.0.0.1 port=6433 user=r dbname=plexus"),
        ("postgresql://w@primary/plexus", "postgresql://r@standby/plexus"),
        # A pooler may lead each database elsewhere.
        ("postgresql://w@pooler/plexus", "postgresql://r@pooler/plexus_standby"),
        # No address at all: it is told when it is connected to.
        ("host=127.0.0.1 dbname=plexus", "host"),
        # The first that answers, which need not be the same.
        ("postgresql://w@a,b/plexus", "postgresql://r@a,b/plexus"),
        ("postgresql://w@a,b/plexus?target_session_attrs=read-write", "postgresql://r@a,b/plexus"),
        (
            "postgresql://w@a,b/plexus?target_session_attrs=any",
            "postgresql://r@a,b/plexus?target_session_attrs=any",
        ),
        ("postgresql://w@a/plexus", "postgresql://r@a/plexus?target_session_attrs=prefer-standby"),
    ],
)
def test_another_place_may_be_a_replica(writer: str, reader: str) -> None:
    assert Database(writer, reader).has_replica


def test_without_an_address_for_reads_there_is_none() -> None:
    assert not Database("host=a dbname=plexus").has_replica
