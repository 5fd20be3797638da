"""What a real server process writes to its log, and what it must not."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.matrix import Client, MatrixError
from tests.support.server import PlexusServer

PASSWORD = "a pass phrase that nobody reads"
WORDS = "words between two people"
WRONG = "plx_1_ThisTokenIsNotRight_aaaaaa"
TRACE = "0af7651916cd43dd8448eb211c80319c"


def lines(server: PlexusServer) -> list[dict[str, Any]]:
    return [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]


def requests(server: PlexusServer, route: str, status: int) -> list[dict[str, Any]]:
    wanted = ("request", route, status)
    return [
        line for line in lines(server) if (line["message"], line.get("route"), line.get("status")) == wanted
    ]


async def drive(server: PlexusServer) -> str:
    """A conversation with a 200, a 401 and a content of each kind; the access token that was used."""
    async with aiohttp.ClientSession() as session:
        alice = await Client(session, server.base_url).register("alice", PASSWORD)
        room_id = await alice.create_room()
        await alice.send(room_id, WORDS)
        await alice.sync()
        traced = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-00", "x-request-id": "asked-by-a-test"}
        stranger = Client(session, server.base_url, access_token=WRONG, headers=traced)
        for query in ({}, {"access_token": alice.access_token}):
            with pytest.raises(MatrixError) as refused:
                await stranger.request("GET", "client/v3/account/whoami", query=query)
            assert refused.value.status == 401
    return alice.access_token


async def test_json_logs_of_requests(tmp_path: Path) -> None:
    settings = {
        "PLEXUS_TELEMETRY__LOG_FORMAT": "json",
        "PLEXUS_TELEMETRY__LOG_LEVEL": "info",
        "PLEXUS_TELEMETRY__ACCESS_LOG": "all",
        "PLEXUS_HTTP__TRUSTED_PROXIES": '["127.0.0.0/8"]',
    }
    with PlexusServer(tmp_path / "data", settings) as server:
        token = await drive(server)
    [sent] = requests(server, "/_matrix/client/v3/rooms/{roomId}/send/{eventType}/{txnId}", 200)
    asked = requests(server, "/_matrix/client/v3/account/whoami", 401)
    assert (sent["level"], sent["method"], sent["client"]) == ("info", "PUT", "127.0.0.1")
    assert sent["ms"] > 0
    assert re.fullmatch(r"[0-9a-f]{32}", sent["trace_id"])
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]+", sent["request_id"])
    assert [(line["request_id"], line["trace_id"]) for line in asked] == [("asked-by-a-test", TRACE)] * 2

    whole = server.log.read_text()
    for secret in (token, WRONG, PASSWORD, WORDS):
        assert secret not in whole
    assert re.search(r"^\{.*Applied \d+ migrations", whole, re.MULTILINE), "what happened at the start"


async def test_a_terminal_is_quiet_unless_told(tmp_path: Path) -> None:
    with PlexusServer(tmp_path / "data") as server:
        await drive(server)
        assert lines(server) == []
        assert " INFO " not in server.log.read_text()
        server.stop()
        server.settings["PLEXUS_TELEMETRY__ACCESS_LOG"] = "all"
        server.start()
    assert re.search(
        r" INFO +plexus\S+: request \[[0-9a-f-]+\] method=GET .*status=200", server.log.read_text()
    )
