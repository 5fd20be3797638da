"""The commands, on a real folder: beside a running server, and on a stopped one."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import time
from pathlib import Path

import aiohttp
import psycopg
import pytest
from plexus.cli.data_folder import open_folder
from plexus.cli.store import owner_dsn

from tests.support.matrix import Client, Json, MatrixError
from tests.support.server import PLEXUS, PlexusServer


def plexus_command(
    server: PlexusServer, *words: str, typed: str = "", settings: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PLEXUS_")}
    return subprocess.run(
        [str(PLEXUS), *words, "--data", str(server.data)],
        input=typed,
        env=environment | (settings or {}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def login(client: Client, name: str, password: str) -> Client:
    identifier = {"type": "m.id.user", "user": name}
    body = {"type": "m.login.password", "identifier": identifier, "password": password}
    answer = await client.request("POST", "client/v3/login", body)
    client.user_id, client.access_token = answer["user_id"], answer["access_token"]
    return client


async def test_accounts_beside_a_running_server(plexus: PlexusServer) -> None:
    added = plexus_command(plexus, "user", "add", "dora", typed="a long pass phrase\n")
    assert (added.returncode, added.stdout) == (0, "@dora:localhost can log in now\n"), added.stderr
    again = plexus_command(plexus, "user", "add", "dora", typed="a long pass phrase\n")
    assert again.returncode == 1
    assert "taken" in again.stderr.lower() or "in use" in again.stderr.lower()
    weak = plexus_command(plexus, "user", "add", "eve", typed="short\n")
    assert weak.returncode == 1
    assert "Traceback" not in weak.stderr

    async with aiohttp.ClientSession() as session:
        dora = await login(Client(session, plexus.base_url), "dora", "a long pass phrase")
        reset = plexus_command(plexus, "user", "reset-password", "dora", typed="quite another phrase\n")
        assert reset.returncode == 0, reset.stderr
        await asyncio.sleep(1)  # a revoked token may live this long
        with pytest.raises(MatrixError) as logged_out:
            await dora.request("GET", "client/v3/account/whoami")
        assert logged_out.value.errcode == "M_UNKNOWN_TOKEN"
        await login(dora, "dora", "quite another phrase")

        gone = plexus_command(plexus, "user", "deactivate", "@dora:localhost")
        assert gone.returncode == 0, gone.stderr
        with pytest.raises(MatrixError) as deactivated:
            await login(Client(session, plexus.base_url), "dora", "quite another phrase")
        assert deactivated.value.status == 403
    assert plexus_command(plexus, "user", "deactivate", "nobody-here").returncode == 1


async def test_reports_are_listed_and_removed(plexus: PlexusServer) -> None:
    assert plexus_command(plexus, "user", "add", "tell", typed="a long pass phrase\n").returncode == 0
    async with aiohttp.ClientSession() as session:
        tell = await login(Client(session, plexus.base_url), "tell", "a long pass phrase")
        body = {"reason": "rude\x1b[2J"}
        await tell.request("POST", "client/v3/users/@spam:elsewhere.org/report", body)
    listed = plexus_command(plexus, "report", "list")
    assert listed.returncode == 0, listed.stderr
    first, reason = listed.stdout.splitlines()[:2]
    number = first.split()[0]
    assert first.endswith("@tell:localhost reports user @spam:elsewhere.org")
    # What a user wrote cannot give orders to the terminal.
    assert reason == "    rude\\x1b[2J"
    [line] = plexus_command(plexus, "report", "list", "--json", "--limit", "1").stdout.splitlines()
    assert json.loads(line)["user_id"] == "@spam:elsewhere.org"
    removed = plexus_command(plexus, "report", "remove", number)
    assert (removed.returncode, removed.stdout) == (0, f"removed: {number}\n"), removed.stderr
    assert plexus_command(plexus, "report", "remove", number).returncode == 1


async def test_a_notice_reaches_its_user_once(plexus: PlexusServer) -> None:
    assert plexus_command(plexus, "user", "add", "lena", typed="a long pass phrase\n").returncode == 0
    async with aiohttp.ClientSession() as session:
        lena = await login(Client(session, plexus.base_url), "lena", "a long pass phrase")
        since = (await lena.sync())["next_batch"]
        words = ("notice", "lena", "We move on Sunday", "--key", "move")
        said = [plexus_command(plexus, *words) for _ in range(2)]
        assert [each.returncode for each in said] == [0, 0], said[0].stderr
        assert said[0].stdout == said[1].stdout
        event_id, _, room_id = said[0].stdout.split()
        told = await lena.sync(since=since, timeout=10_000)
        assert list(told["rooms"]["invite"]) == [room_id]
        await lena.request("POST", f"client/v3/rooms/{room_id}/join", {})
        page = await lena.request("GET", f"client/v3/rooms/{room_id}/messages?dir=b&limit=50")
        notices = {
            event["event_id"]: event["content"]["body"]
            for event in page["chunk"]
            if event["content"].get("msgtype") == "m.server_notice"
        }
        assert notices == {event_id: "We move on Sunday"}
        typed = plexus_command(plexus, "notice", "@lena:localhost", "-", typed="Two\nlines\n")
        assert typed.stdout.endswith(f" in {room_id}\n"), typed.stderr
    for user in ("nobody-here", "@lena:elsewhere.org"):
        refused = plexus_command(plexus, "notice", user, "hello")
        assert (refused.returncode, refused.stdout) == (1, "")
        assert "Traceback" not in refused.stderr


async def test_accounts_on_a_stopped_server(fresh_plexus: PlexusServer) -> None:
    fresh_plexus.stop()
    added = plexus_command(fresh_plexus, "user", "add", "@dora:localhost", typed="a long pass phrase\n")
    assert added.returncode == 0, added.stderr
    other = plexus_command(fresh_plexus, "user", "add", "@dora:elsewhere", typed="a long pass phrase\n")
    assert other.returncode == 1
    assert "elsewhere" in other.stderr
    assert fresh_plexus.postgres_pid() is None, "a command leaves no PostgreSQL behind"
    fresh_plexus.start()
    async with aiohttp.ClientSession() as session:
        await login(Client(session, fresh_plexus.base_url), "dora", "a long pass phrase")


async def test_who_has_a_registration_token_may_register(tmp_path: Path) -> None:
    with PlexusServer(tmp_path / "data", {"PLEXUS_REGISTRATION__MODE": "token"}) as server:
        made = plexus_command(server, "user", "token", "--uses", "1", "--days", "1", settings=server.settings)
        assert (made.returncode, made.stderr) == (0, "")
        token = made.stdout.strip()
        with owner_dsn(open_folder(server.data, env={})) as dsn, psycopg.connect(dsn) as connection:
            [(name, uses, expires)] = connection.execute(
                "SELECT token, uses_allowed, expires_ts FROM users.registration_token"
            ).fetchall()
        assert (name, uses) == (token, 1)
        assert time.time() + 86_000 < expires / 1000 <= time.time() + 86_400
        async with aiohttp.ClientSession() as session:
            client = Client(session, server.base_url)
            validity = f"client/v1/register/m.login.registration_token/validity?token={token}"
            assert await client.request("GET", validity) == {"valid": True}
            with pytest.raises(MatrixError) as refused:
                await register_with(client, "eve", token + "x")
            assert refused.value.status == 401
            assert (await register_with(client, "dora", token))["user_id"] == "@dora:localhost"
            assert await client.request("GET", validity) == {"valid": False}
            with pytest.raises(MatrixError) as used:
                await register_with(client, "eve", token)
            assert used.value.status == 401
        unlimited = plexus_command(server, "user", "token")
        assert unlimited.returncode == 0
        assert 'registration.mode is "closed"' in unlimited.stderr
        assert plexus_command(server, "user", "token", "--uses", "0").returncode == 2


async def register_with(client: Client, name: str, token: str) -> Json:
    body = {"username": name, "password": "a long pass phrase"}
    with pytest.raises(MatrixError) as asked:
        await client.request("POST", "client/v3/register", body)
    stage = {"type": "m.login.registration_token", "session": asked.value.body["session"], "token": token}
    return await client.request("POST", "client/v3/register", body | {"auth": stage})


async def test_backup_and_restore(fresh_plexus: PlexusServer, tmp_path: Path) -> None:
    """Backed up while it runs, restored into a new folder: the same server, and old tokens are cut back."""
    async with aiohttp.ClientSession() as session:
        alice = await Client(session, fresh_plexus.base_url).register("alice")
        room_id = await alice.create_room()
        event_id = await alice.send(room_id, "worth keeping")
        saved = plexus_command(fresh_plexus, "db", "backup", str(tmp_path / "monday.tar"))
        assert saved.returncode == 0, saved.stdout + saved.stderr
        await alice.send(room_id, "lost again")
        ahead = (await alice.sync())["next_batch"]
        refused = plexus_command(fresh_plexus, "db", "restore", str(tmp_path / "monday.tar"))
        assert refused.returncode == 1
        assert "stop it first" in refused.stderr
        fresh_plexus.stop()

        restored = PlexusServer(tmp_path / "restored")
        done = plexus_command(restored, "db", "restore", str(tmp_path / "monday.tar"))
        assert done.returncode == 0, done.stdout + done.stderr
        with restored:
            twin = Client(session, restored.base_url, alice.user_id, alice.access_token, alice.device_id)
            after = await twin.send(room_id, "after the restore")
            answer = await twin.sync(ahead)
            events = answer["rooms"]["join"][room_id]["timeline"]["events"]
            assert events[-1]["event_id"] == after
            kept = [event["event_id"] for event in await twin.history(room_id)]
            assert kept[:2] == [after, event_id]


def test_doctor_on_a_sound_server(plexus: PlexusServer) -> None:
    found = plexus_command(plexus, "doctor")
    assert found.returncode == 0, found.stdout + found.stderr
    for words in (
        "fsync is on",
        "umlauts",
        "migrations: all are applied",
        "signs as ed25519:",
        "GiB are free",
    ):
        assert words in found.stdout


def test_doctor_says_what_is_wrong(fresh_plexus: PlexusServer) -> None:
    fresh_plexus.stop()
    (fresh_plexus.data / "signing.key").chmod(0o644)
    found = plexus_command(fresh_plexus, "doctor")
    assert found.returncode == 1
    assert "chmod 600" in found.stdout
    found = plexus_command(fresh_plexus, "doctor", settings={"PLEXUS_RATE_LIMIT__ENABLED": "false"})
    assert found.returncode == 1
    assert "PLEXUS_RATE_LIMIT__ENABLED" in found.stdout


def test_the_name_cannot_be_changed(fresh_plexus: PlexusServer) -> None:
    fresh_plexus.stop()
    for words, settings in (
        (["up", "--server-name", "other.example"], {}),
        (["up"], {"PLEXUS_SERVER_NAME": "other.example"}),
    ):
        refused = plexus_command(fresh_plexus, *words, settings=settings)
        assert refused.returncode == 1
        assert "cannot become 'other.example'" in refused.stderr
    settings_file = fresh_plexus.data / "plexus.toml"
    settings_file.write_text(settings_file.read_text().replace("localhost", "other.example"))
    refused = plexus_command(fresh_plexus, "up")
    assert refused.returncode == 1
    assert "other.example" in refused.stderr


def test_a_wrong_setting_stops_the_start(fresh_plexus: PlexusServer) -> None:
    fresh_plexus.stop()
    refused = plexus_command(fresh_plexus, "up", settings={"PLEXUS_ROOMS__DEFAULT_VERSION": "twelve"})
    assert refused.returncode == 1
    assert "rooms.default_version" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_one_server_a_folder(plexus: PlexusServer) -> None:
    refused = plexus_command(plexus, "up", "--port", "0")
    assert refused.returncode == 1
    assert "in use by another Plexus" in refused.stderr
