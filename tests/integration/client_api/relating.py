"""What the stories of related events have in common."""

from __future__ import annotations

from itertools import count
from typing import Any

from tests.support.house import Person
from tests.support.http import Answer, Json, seg

V1 = "/_matrix/client/v1"

_numbers = count(1)


def relates(rel_type: str, parent: str, **more: Any) -> Json:
    return {"m.relates_to": {"rel_type": rel_type, "event_id": parent, **more}}


async def put(person: Person, room_id: str, content: Json, type: str = "m.room.message") -> Answer:
    return await person.put(f"{person.room(room_id)}/send/{seg(type)}/txn{next(_numbers)}", content)


async def send(person: Person, room_id: str, content: Json, type: str = "m.room.message") -> str:
    event_id: str = (await put(person, room_id, content, type)).ok()["event_id"]
    return event_id


async def say(person: Person, room_id: str, body: str, **more: Any) -> str:
    return await send(person, room_id, {"msgtype": "m.text", "body": body, **more})


async def reply_in_thread(person: Person, room_id: str, root: str, body: str = "in the thread") -> str:
    return await say(person, room_id, body, **relates("m.thread", root))


async def edit(person: Person, room_id: str, parent: str, body: str) -> str:
    new = {"m.new_content": {"msgtype": "m.text", "body": body}}
    return await say(person, room_id, f"* {body}", **new, **relates("m.replace", parent))


async def react(person: Person, room_id: str, parent: str, key: str) -> str:
    return await send(person, room_id, relates("m.annotation", parent, key=key), "m.reaction")


async def redact(person: Person, room_id: str, event_id: str) -> str:
    path = f"{person.room(room_id)}/redact/{seg(event_id)}/txn{next(_numbers)}"
    redaction: str = (await person.put(path, {})).ok()["event_id"]
    return redaction


async def ignore(person: Person, *others: Person) -> None:
    path = f"/_matrix/client/v3/user/{seg(person.user_id)}/account_data/m.ignored_user_list"
    (await person.put(path, {"ignored_users": {other.user_id: {} for other in others}})).ok()


async def relations(person: Person, room_id: str, parent: str, *types: str, **query: Any) -> Answer:
    """``GET …/relations/{eventId}``, of a relation type, and of an event type."""
    return await person.get(
        f"{V1}/rooms/{seg(room_id)}/relations/{'/'.join(map(seg, (parent, *types)))}", **query
    )


async def related(person: Person, room_id: str, parent: str, *types: str, **query: Any) -> list[str]:
    """The event IDs of the same."""
    return ids((await relations(person, room_id, parent, *types, **query)).ok())


async def threads(person: Person, room_id: str, **query: Any) -> Answer:
    return await person.get(f"{V1}/rooms/{seg(room_id)}/threads", **query)


async def bundle(person: Person, room_id: str, event_id: str) -> Json:
    """``m.relations`` of an event as the person gets it."""
    event = (await person.get(f"{person.room(room_id)}/event/{seg(event_id)}")).ok()
    return event["unsigned"].get("m.relations", {})


def ids(answer: Json) -> list[str]:
    return [event["event_id"] for event in answer["chunk"]]
