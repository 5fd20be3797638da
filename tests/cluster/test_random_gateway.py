"""Routing is only a hint: through a gateway that takes any replica for each request all is as correct."""

from __future__ import annotations

import asyncio
import csv
import io
import secrets
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest

from deploy.local.asking import ask
from deploy.local.haproxy import Haproxy
from deploy.local.ports import Ports
from deploy.local.routes import SERVICES
from tests.support.cluster import ClusterServer

ROUNDS = 25


@pytest.fixture(scope="module")
def gateway(cluster: ClusterServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Haproxy]:
    """Another gateway before the same services, which chooses by chance."""
    ports = Ports()
    replicas = {name: [process.replica for process in cluster.of(name)] for name in SERVICES}
    folder = tmp_path_factory.mktemp("random")
    with Haproxy(folder, ports.free(), ports.free(), replicas, mode="random") as made:
        made.wait_all_up()
        yield made


class User:
    """Speaks through one gateway; ``seen`` is what its syncs have told of the room, in order."""

    def __init__(self, http: aiohttp.ClientSession, port: int, name: str) -> None:
        self._http = http
        self._base = f"http://127.0.0.1:{port}"
        self._headers: dict[str, str] = {}
        self.name = name
        self.id = ""
        self.since: str | None = None
        self.seen: list[str] = []

    async def ask(self, method: str, path: str, body: Any = None, **query: str) -> Any:
        async with self._http.request(
            method, f"{self._base}/_matrix/client/{path}", json=body, params=query, headers=self._headers
        ) as answer:
            said = await answer.json()
            assert answer.status == 200, (method, path, answer.status, said)
            return said

    async def register(self) -> None:
        body = {"username": self.name, "password": secrets.token_hex(), "auth": {"type": "m.login.dummy"}}
        made = await self.ask("POST", "v3/register", body)
        self.id = made["user_id"]
        self._headers = {"Authorization": f"Bearer {made['access_token']}"}

    async def sync(self, room_id: str, timeout: int = 0) -> Any:
        query = {"timeout": str(timeout)} | ({} if self.since is None else {"since": self.since})
        said = await self.ask("GET", "v3/sync", **query)
        self.since = said["next_batch"]
        room = said.get("rooms", {}).get("join", {}).get(room_id, {})
        self.seen += [
            event["content"]["body"]
            for event in room.get("timeline", {}).get("events", ())
            if event["type"] == "m.room.message"
        ]
        return said

    async def upload(self, data: bytes) -> str:
        headers = self._headers | {"Content-Type": "application/octet-stream"}
        async with self._http.post(
            f"{self._base}/_matrix/media/v3/upload", data=data, headers=headers
        ) as answer:
            assert answer.status == 200
            return str((await answer.json())["content_uri"])

    async def download(self, uri: str) -> bytes:
        path = f"{self._base}/_matrix/client/v1/media/download/{uri.removeprefix('mxc://')}"
        async with self._http.get(path, headers=self._headers) as answer:
            assert answer.status == 200
            return await answer.read()


@pytest.fixture
async def users(gateway: Haproxy) -> AsyncIterator[list[User]]:
    # A connection for each request: a kept one is no hint either.
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as http:
        suffix = secrets.token_hex(4)
        made = [User(http, gateway.port, f"{name}-{suffix}") for name in ("anna", "ben", "carla")]
        for user in made:
            await user.register()
        yield made


@pytest.fixture
async def room_id(users: list[User]) -> str:
    anna, *others = users
    made = await anna.ask("POST", "v3/createRoom", {"invite": [user.id for user in others]})
    room_id: str = made["room_id"]
    for user in others:
        await user.ask("POST", f"v3/join/{quote(room_id, safe='')}", {})
    for user in users:
        said = await user.sync(room_id)
        assert room_id in said["rooms"]["join"], "one's own join is there at once"
    return room_id


async def talk(user: User, room_id: str) -> None:
    room = f"v3/rooms/{quote(room_id, safe='')}"
    for number in range(ROUNDS):
        body = f"{user.name} {number}"
        send = f"{room}/send/m.room.message/{user.name}-{number}"
        sent = await user.ask("PUT", send, {"msgtype": "m.text", "body": body})
        await user.sync(room_id)
        assert body in user.seen, "what one has sent is in one's next sync"
        event = await user.ask("GET", f"{room}/event/{quote(sent['event_id'], safe='')}")
        assert event["content"]["body"] == body
        if number % 5 == 0:
            again = await user.ask("PUT", send, {"msgtype": "m.text", "body": body})
            assert again == sent, "a retry makes no second event"


async def test_a_conversation(users: list[User], room_id: str) -> None:
    await asyncio.gather(*(talk(user, room_id) for user in users))
    everything = {f"{user.name} {number}" for user in users for number in range(ROUNDS)}
    for user in users:
        while not everything <= set(user.seen):
            before = len(user.seen)
            await user.sync(room_id, timeout=10_000)
            assert len(user.seen) > before, (
                f"nothing comes any more; {everything - set(user.seen)} is missing"
            )
    for user in users:
        assert len(user.seen) == len(everything), "something came twice"
        assert user.seen == users[0].seen, "all see one order"


async def test_ones_own_writes(users: list[User], room_id: str) -> None:
    anna, ben, _ = users
    room = f"v3/rooms/{quote(room_id, safe='')}"
    own = f"v3/user/{quote(anna.id, safe='')}"
    for number in range(ROUNDS):
        await anna.ask("PUT", f"{room}/state/m.room.topic", {"topic": f"topic {number}"})
        assert (await ben.ask("GET", f"{room}/state/m.room.topic"))["topic"] == f"topic {number}"

        await anna.ask("PUT", f"{own}/account_data/org.example", {"number": number})
        assert (await anna.ask("GET", f"{own}/account_data/org.example"))["number"] == number
        said = await anna.sync(room_id)
        told = [item["content"] for item in said.get("account_data", {}).get("events", ())]
        assert {"number": number} in told

        await anna.ask(
            "PUT", f"v3/profile/{quote(anna.id, safe='')}/displayname", {"displayname": f"A{number}"}
        )
        profile = await ben.ask("GET", f"v3/profile/{quote(anna.id, safe='')}")
        assert profile["displayname"] == f"A{number}"


async def test_media_and_keys(users: list[User], room_id: str) -> None:
    anna, ben, _ = users
    for _ in range(5):
        data = secrets.token_bytes(50_000)
        assert await ben.download(await anna.upload(data)) == data
    counts = (await anna.ask("POST", "v3/keys/upload", {}))["one_time_key_counts"]
    assert isinstance(counts, dict)
    assert anna.id in (await ben.ask("POST", "v3/keys/query", {"device_keys": {anna.id: []}}))["device_keys"]


def test_it_did_choose_by_chance(gateway: Haproxy) -> None:
    """After the others: each replica has had its share."""
    answer = ask(gateway.metrics_port, "/stats;csv")
    assert answer is not None
    rows = csv.DictReader(io.StringIO(answer[1].removeprefix("# ")))
    served = {row["svname"]: int(row["stot"]) for row in rows if row["svname"].startswith(("client", "sync"))}
    assert len(served) == 4
    assert min(served.values()) > 20, served
