"""`plexus db move`: users of an embedded server go on in a cluster, and nothing of theirs is missing."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import orjson
import psycopg
import pytest
from plexus.cli.data_folder import open_folder
from plexus.cli.store import owner_dsn
from plexus.platform.backup.schema import plexus_schemas, tables
from plexus.platform.embedded import EmbeddedPostgres
from plexus.platform.lanes import LaneMap
from psycopg.sql import SQL

from tests.support.debian_postgres import a_postgres
from tests.support.matrix import Client, Json
from tests.support.server import OPEN, PLEXUS, PlexusServer, free_port

PICTURE = bytes(range(256)) * 300
SERVER = "move.example.org"
SECRET = {"sender": "@alice:" + SERVER, "type": "m.test", "content": {"secret": "of old"}}
UPLOAD_KEYS = """
SELECT users.upload_keys(%s::smallint, %s, %s, '{"device": "keys"}',
                         '{signed_curve25519}', '{AAAA}', '{"\\\\x7b7d"}', '{}', '{}', '{}', 1, 100)
"""

BOOKS = {"lanes.generation", "lanes.lane", "platform.lease"}
"""Tables that may differ afterwards."""


class Cluster(PlexusServer):
    """`plexus serve` instead of `plexus up`, with the settings of a cluster."""

    def __init__(self, folder: Path, postgres: EmbeddedPostgres) -> None:
        super().__init__(folder / "cluster")
        self.config = folder / "cluster.toml"
        self.config.write_text(
            f"""
server_name = "{SERVER}"
data_dir = "{folder / "cluster"}"

[database]
dsn = "{postgres.dsn("plexus_writer")}"
reader_dsn = "{postgres.dsn("plexus_reader")}"
owner_dsn = "{postgres.dsn()}"

[signing]
key_file = "{folder / "secrets" / "signing.key"}"

[media]
store_url = "file://{folder / "bucket"}"

[listeners.client]
port = {self.port}

[listeners.internal]
port = {self.internal_port}
"""
        )

    def command(self) -> list[str]:
        names = ["client-api", "sync", "keys", "media", "federation"]
        return [str(PLEXUS), "serve", *names, "--config", str(self.config)]

    def move(self, data: Path, *words: str) -> subprocess.Popen[str]:
        """Begin to move the folder here."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PLEXUS_")}
        return subprocess.Popen(
            [str(PLEXUS), "db", "move", "--data", str(data), "--to", str(self.config), *words],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@dataclass
class Story:
    """What was done on the embedded server, and must be found again."""

    alice: Client
    bob: Client
    room: str = ""
    history: list[Json] = field(default_factory=list)
    since: str = ""
    sent: str = ""
    media: str = ""


async def live(session: aiohttp.ClientSession, url: str, store: str) -> Story:
    alice, bob = Client(session, url), Client(session, url)
    story = Story(await alice.register("alice"), await bob.register("bob"))
    story.room = await alice.create_room(preset="public_chat")
    await bob.join(story.room)
    for number in range(30):
        await (alice, bob)[number % 2].send(story.room, f"message {number} äöü \\ \t")
    story.sent = await alice.send(story.room, "once", "a-transaction")
    gone = await alice.send(story.room, "regretted")
    room = quote(story.room, safe="")
    await alice.request("PUT", f"client/v3/rooms/{room}/redact/{quote(gone, safe='')}/r1", {})
    async with session.post(
        f"{url}/_matrix/media/v3/upload",
        data=PICTURE,
        headers={"Authorization": f"Bearer {alice.access_token}", "Content-Type": "image/png"},
    ) as answer:
        story.media = (await answer.json())["content_uri"].removeprefix("mxc://")
    # What one has written oneself one sees, and with it whatever came before in the room.
    await bob.send(story.room, "so far")
    story.since = (await bob.sync())["next_batch"]
    # Of this bob has heard nothing yet.
    await alice.send(story.room, "unheard")
    with psycopg.connect(store) as connection:
        lane = LaneMap().user(bob.user_id)
        connection.execute(UPLOAD_KEYS, (lane, bob.user_id, bob.device_id))
        connection.execute(
            "SELECT users.put_messages(%s::smallint, %s::text[], %s::text[], %s::bytea[])",
            (lane, [bob.user_id], [bob.device_id], [orjson.dumps(SECRET)]),
        )
    story.history = await alice.history(story.room)
    return story


async def goes_on(story: Story, session: aiohttp.ClientSession, url: str) -> None:
    alice, bob = story.alice, story.bob
    alice.base_url = bob.base_url = url
    assert strip(await alice.history(story.room)) == strip(story.history)
    assert await alice.send(story.room, "once", "a-transaction") == story.sent, "a retry makes no event"
    async with session.get(
        f"{url}/_matrix/client/v1/media/download/{story.media}",
        headers={"Authorization": f"Bearer {bob.access_token}"},
    ) as answer:
        assert (answer.status, await answer.read()) == (200, PICTURE)

    # Bob's sync goes on where it was: nothing skipped, nothing twice.
    first = await bob.sync(story.since)
    assert bodies(first, story.room) == ["unheard"]
    assert first["to_device"]["events"] == [SECRET]
    assert first["device_one_time_keys_count"] == {"signed_curve25519": 1}
    await alice.send(story.room, "in the cluster")
    second = await bob.sync(first["next_batch"], timeout_ms=5_000)
    assert bodies(second, story.room) == ["in the cluster"]
    assert second.get("to_device", {}).get("events", []) == []
    await Client(session, url).register("carol")


def bodies(answer: Json, room: str) -> list[Any]:
    events = answer["rooms"]["join"][room]["timeline"]["events"]
    return [event["content"].get("body") for event in events]


def strip(events: list[Json]) -> list[Json]:
    """Without what depends on when it is asked."""
    kept = []
    for event in events:
        unsigned = {name: value for name, value in event.get("unsigned", {}).items() if name != "age"}
        kept.append({**event, "unsigned": unsigned})
    return kept


def contents(dsn: str) -> dict[str, object]:
    """The number of rows of each table, and a sum over them."""
    found: dict[str, object] = {}
    with psycopg.connect(dsn) as connection:
        for table in tables(connection, plexus_schemas()):
            if table.full_name not in BOOKS:
                look = SQL("SELECT count(*), sum(hashtextextended(t::text, 0)) FROM {} AS t")
                found[table.full_name] = connection.execute(look.format(table.identifier)).fetchone()
    return found


def generations(dsn: str) -> list[tuple[int, int | None, str]]:
    """(id, parent, why it began), the newest last."""
    with psycopg.connect(dsn) as connection:
        return connection.execute(
            "SELECT id, parent, reason FROM lanes.generation ORDER BY number"
        ).fetchall()


def events_in(postgres: EmbeddedPostgres) -> int | None:
    with psycopg.connect(postgres.dsn()) as connection:
        if connection.execute("SELECT to_regclass('rooms.event')").fetchone() == (None,):
            return None
        row = connection.execute("SELECT count(*) FROM rooms.event").fetchone()
        return None if row is None else row[0]


@pytest.fixture(params=[15, 18])
def postgres(request: pytest.FixtureRequest) -> Iterator[EmbeddedPostgres]:
    with a_postgres(request.param) as server:
        yield server


@pytest.mark.timeout(400)  # four starts of servers and five commands
async def test_a_server_moves_into_a_cluster(postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, postgres)
    async with aiohttp.ClientSession() as session:
        with PlexusServer(tmp_path / "data", OPEN | {"PLEXUS_SERVER_NAME": SERVER}) as embedded:
            with owner_dsn(open_folder(embedded.data, env={})) as store:
                story = await live(session, embedded.base_url, store)
            refused = cluster.move(embedded.data)
            assert refused.communicate(timeout=60)[1].strip().endswith("is running: stop it first")
            assert refused.returncode == 1

        # Killed between two tables: nothing has come, and it may be repeated.
        killed = cluster.move(embedded.data)
        assert killed.stdout is not None
        for line in killed.stdout:
            if "rooms.event" in line:
                killed.kill()
                break
        else:
            pytest.fail(f"it ended before it could be killed: {killed.communicate()[1]}")
        killed.communicate(timeout=60)
        assert not events_in(postgres)

        done = cluster.move(embedded.data)
        out, err = done.communicate(timeout=120)
        assert done.returncode == 0, out + err
        with owner_dsn(open_folder(embedded.data, env={})) as store:
            assert contents(store) == contents(postgres.dsn())
            *old, (_, parent, reason) = generations(postgres.dsn())
            assert old == generations(store)
            assert (parent, reason) == (old[-1][0], "move")
        assert "rows of" in out and "1 media objects" in out
        assert (tmp_path / "secrets" / "signing.key").stat().st_mode & 0o777 == 0o600

        again = cluster.move(embedded.data)
        assert "the database is not empty" in again.communicate(timeout=60)[1]
        assert again.returncode == 1

        with cluster:
            await goes_on(story, session, cluster.base_url)
        assert embedded.postgres_pid() is None

        # The folder is what it was. (Started here to be looked at; nobody should.)
        with PlexusServer(embedded.data, OPEN) as before:
            story.alice.base_url = before.base_url
            assert strip(await story.alice.history(story.room)) == strip(story.history)


def test_what_is_refused_changes_nothing(tmp_path: Path) -> None:
    with a_postgres(18) as postgres:
        cluster = Cluster(tmp_path, postgres)
        nothing = cluster.move(tmp_path / "nowhere")
        assert nothing.communicate(timeout=60)[1].startswith("there is no server in")

        with PlexusServer(tmp_path / "data", OPEN | {"PLEXUS_SERVER_NAME": "other.example.org"}) as other:
            pass
        named = cluster.move(other.data)
        assert "is the server other.example.org" in named.communicate(timeout=60)[1]

        cluster.config.write_text(cluster.config.read_text().replace(SERVER, "other.example.org"))
        key = tmp_path / "secrets" / "signing.key"
        key.parent.mkdir()
        key.write_text("ed25519 another AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n")
        keyed = cluster.move(other.data)
        assert "is there already and differs" in keyed.communicate(timeout=60)[1]
        key.unlink()

        text = cluster.config.read_text()
        cluster.config.write_text(text.replace(postgres.dsn(), f"host=127.0.0.1 port={free_port()}"))
        away = cluster.move(other.data)
        assert "the target cannot be used" in away.communicate(timeout=60)[1]
        assert {refused.returncode for refused in (nothing, named, keyed, away)} == {1}
        assert events_in(postgres) is None
