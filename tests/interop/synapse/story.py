"""What happens in a room of each version on a Synapse: every kind of event that its users can bring about.

Alice made the room, Bob is a moderator, Carol comes and goes, Dave knocks, Erin joins through a room that
lets her, and Frank is banned. What a version does not have is left out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import aiohttp

from tests.support.matrix import Client

NAMES = ("alice", "bob", "carol", "dave", "erin", "frank")

KNOCKING = frozenset(("7", "8", "9", "10", "11", "12"))
RESTRICTED = frozenset(("8", "9", "10", "11", "12"))
KNOCK_RESTRICTED = frozenset(("10", "11", "12"))
LAX_JSON = frozenset(("1", "2", "3", "4", "5"))
ALIASES = LAX_JSON
CREATORS_UNLISTED = frozenset(("12",))

ODD: Mapping[str, Any] = {
    "msgtype": "m.text",
    "body": 'äöü 🙂 \u0000\u0001\u007f\u2028\ufeff"\\/<>&\n\t',
    "": {"🙂": 1, "\uffff": 2, "a": 3, "A": 4, "\U00010000": 5},
    "integers": [0, -1, 2**53 - 1, -(2**53) + 1],
    "deep": [[[[{"null": None, "true": True}]]]],
    "signatures": {"hashes": "of the content, not of the event"},
    "unsigned": {"age": 1},
}
"""Content whose canonical JSON takes some care."""

FLOATS: Mapping[str, Any] = {
    "msgtype": "m.text",
    "body": "what was allowed once",
    "floats": [0.5, -1.25, 1e-7, 1e22, 1.0, 123456789.125],
    "large": [2**53, -(2**60), 2**63 - 1],
}
"""Content that only rooms without strict canonical JSON take."""


@dataclass(frozen=True)
class Told:
    """A room in which the story was told."""

    room_id: str
    redacted: Sequence[str]
    """Ids of events that were redacted."""


class Scene:
    """One room, and the users that have a part in its story."""

    def __init__(self, version: str, users: Mapping[str, Client], room_id: str) -> None:
        self.version = version
        self.users = users
        self.room_id = room_id
        self._transactions = 0

    @property
    def path(self) -> str:
        return f"client/v3/rooms/{quote(self.room_id, safe='')}"

    async def post(self, who: str, action: str, **body: Any) -> Any:
        return await self.users[who].request("POST", f"{self.path}/{action}", body)

    async def send(self, who: str, type: str, content: Mapping[str, Any]) -> str:
        self._transactions += 1
        path = f"{self.path}/send/{quote(type, safe='')}/{self._transactions}"
        return str((await self.users[who].request("PUT", path, dict(content)))["event_id"])

    async def state(self, who: str, type: str, content: Mapping[str, Any], state_key: str = "") -> str:
        path = f"{self.path}/state/{quote(type, safe='')}/{quote(state_key, safe='')}"
        return str((await self.users[who].request("PUT", path, dict(content)))["event_id"])

    async def redact(self, who: str, event_id: str) -> str:
        self._transactions += 1
        path = f"{self.path}/redact/{quote(event_id, safe='')}/{self._transactions}"
        await self.users[who].request("PUT", path, {"reason": "said too loud"})
        return event_id

    async def act(self, who: str, action: str, whom: str) -> None:
        """``action`` is invite, kick, ban or unban."""
        await self.post(who, action, user_id=self.users[whom].user_id, reason=f"the {action} of {whom}")

    async def join(self, who: str) -> None:
        await self.post(who, "join")

    async def rule(self, rule: str, *allow: str) -> None:
        content: dict[str, Any] = {"join_rule": rule}
        if allow:
            content["allow"] = [{"type": "m.room_membership", "room_id": room_id} for room_id in allow]
        await self.state("alice", "m.room.join_rules", content)

    async def power(self, **levels: Any) -> None:
        users = {"bob": 50} if self.version in CREATORS_UNLISTED else {"alice": 100, "bob": 50}
        content = {"users": {self.users[name].user_id: level for name, level in users.items()}}
        await self.state("alice", "m.room.power_levels", content | levels)


async def tell(base_url: str) -> Mapping[str, Told]:
    """The story in a room of every version that the server makes, all at once, by version."""
    async with aiohttp.ClientSession() as session:
        users = {name: Client(session, base_url) for name in NAMES}
        for name, user in users.items():
            await user.register(name)
        named = (await users["alice"].request("GET", "client/v3/capabilities"))["capabilities"]
        versions = [key for key, kind in named["m.room_versions"]["available"].items() if kind == "stable"]
        await asyncio.gather(
            users["alice"].request("PUT", profile(users["alice"]), {"displayname": "Alice of the story"}),
            users["bob"].request("PUT", profile(users["bob"]), {"displayname": "Bob"}),
        )
        allowing = await users["erin"].create_room(name="Where Erin is")
        async with asyncio.TaskGroup() as group:
            tasks = {version: group.create_task(tell_one(version, users, allowing)) for version in versions}
    return {version: task.result() for version, task in tasks.items()}


def profile(user: Client) -> str:
    return f"client/v3/profile/{quote(user.user_id, safe='')}/displayname"


async def tell_one(version: str, users: Mapping[str, Client], allowing: str) -> Told:
    created = await users["alice"].create_room(
        room_version=version,
        preset="private_chat",
        name=f"A room of version {version}",
        topic="Everything that can happen",
        invite=[users["bob"].user_id],
        initial_state=[{"type": "m.room.encryption", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}],
        creation_content={"org.example.extra": {"kept": "by nobody"}},
    )
    scene = Scene(version, users, created)
    await scene.join("bob")
    await scene.power(invite=0, redact=50, notifications={"room": 50}, events={"m.room.topic": 50})
    await scene.state("bob", "m.room.topic", {"topic": "By the moderator"})
    await scene.state("alice", "org.example.state", {"of": "alice"}, "a key / with ä 🙂")
    redacted = [await scene.send("bob", "m.room.message", ODD)]
    await scene.send("alice", "m.room.message", {"msgtype": "m.text", "body": "I can hear you"})
    await scene.redact("alice", redacted[0])
    if version in LAX_JSON:
        await scene.send("bob", "m.room.message", FLOATS)
    if version in ALIASES:
        await scene.state("alice", "m.room.aliases", {"aliases": []}, "localhost")
    await members(scene)
    await doors(scene, allowing)
    avatar = await scene.state("bob", "m.room.avatar", {"url": "mxc://localhost/none"})
    redacted.append(await scene.redact("bob", avatar))
    await scene.state("alice", "m.room.tombstone", {"body": "The end", "replacement_room": allowing})
    return Told(scene.room_id, redacted)


async def members(scene: Scene) -> None:
    """What users do to each other."""
    await scene.act("alice", "invite", "carol")
    await scene.join("carol")
    member = {"membership": "join", "displayname": "Carol, here only"}
    await scene.state("carol", "m.room.member", member, scene.users["carol"].user_id)
    await scene.act("bob", "kick", "carol")
    await scene.act("bob", "invite", "carol")
    await scene.post("carol", "leave", reason="no, thanks")
    await scene.act("alice", "invite", "frank")
    await scene.act("bob", "ban", "frank")
    await scene.act("alice", "unban", "frank")
    await scene.act("alice", "ban", "frank")
    invitation = {
        "display_name": "G...",
        "public_key": "YWxsIG9mIHRoaXMgaXMgdGhpcnR5LXR3byBieXRlcyE",
        "key_validity_url": "https://identity.example/valid",
        "public_keys": [{"public_key": "YWxsIG9mIHRoaXMgaXMgdGhpcnR5LXR3byBieXRlcyE"}],
    }
    await scene.state("bob", "m.room.third_party_invite", invitation, "a-token")


async def doors(scene: Scene, allowing: str) -> None:
    """The ways into a room."""
    await scene.rule("public")
    await scene.join("carol")
    await scene.post("carol", "leave")
    if scene.version in KNOCKING:
        await scene.rule("knock")
        knock = f"client/v3/knock/{quote(scene.room_id, safe='')}"
        await scene.users["dave"].request("POST", knock, {"reason": "let me in"})
        await scene.act("bob", "invite", "dave")
        await scene.join("dave")
    if scene.version in RESTRICTED:
        await scene.rule("restricted", allowing)
        await scene.join("erin")
        await scene.state(
            "erin", "m.room.member", {"membership": "join", "displayname": "Erin, inside"},
            scene.users["erin"].user_id,
        )  # fmt: skip
        await scene.post("erin", "leave")
    if scene.version in KNOCK_RESTRICTED:
        await scene.rule("knock_restricted", allowing)
        await scene.join("erin")
    await scene.rule("invite")
