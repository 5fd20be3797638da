"""Every operation that takes a token, called by a guest: let through or not, as the specification lists it.

Client-Server API, "Guest Access".
"""

from __future__ import annotations

import re
from urllib.parse import quote

import pytest

from tests.integration.fuzz.world import Account, World
from tests.support import spec

FORBIDDEN = "M_GUEST_ACCESS_FORBIDDEN"

BEYOND_THE_LIST = {
    # Ends their own session, which nobody would miss.
    "logout",
    "logout_all",
    # The list has it for the display name; which field it is, the endpoint judges.
    "setProfileField",
    "deleteProfileField",
    # Limits of the server.
    "getCapabilities",
    "getConfigAuthed",
    # Refused to all but administrators.
    "getAdminLockUser",
    "setAdminLockUser",
    "getAdminSuspendUser",
    "setAdminSuspendUser",
    # Answered that it is not there.
    "getRoomKeysVersionCurrent",
}
"""What is let through, or refused in another way, without being listed."""


def key_of(method: str, path: str) -> tuple[str, str]:
    return method.upper(), re.sub(r"\{[^}]*\}", "{}", path)


def listed() -> dict[tuple[str, str], bool]:
    """Of the operations that take a token: whether guests may."""
    place = spec.folder() / "ENDPOINTS.md"
    if not place.is_file():
        pytest.skip("the specification is not here")
    found: dict[tuple[str, str], bool] = {}
    for line in place.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip().strip("`").strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) < 9 or not cells[1].startswith("/_matrix/client/") or not cells[3].startswith("token"):
            continue
        found[key_of(cells[0], cells[1])] = cells[8].startswith("yes")
    return found


def test_what_guests_may_call(world: World) -> None:
    made = world.json("POST", "/_matrix/client/v3/register?kind=guest", {}, {})
    guest = Account(made["user_id"], made["access_token"], made["device_id"])
    room_id = world.post("/_matrix/client/v3/createRoom", {"preset": "private_chat"})["room_id"]
    room = f"/_matrix/client/v3/rooms/{quote(room_id, safe='')}"
    world.put(f"{room}/state/m.room.join_rules/", {"join_rule": "public"})
    event_id = world.send(room_id, world.dora)
    world.post(f"{room}/join", {}, guest)
    table, seen = listed(), {True: 0, False: 0}
    wrong = []
    for operation in world.operations():
        permitted = table.get(key_of(operation.method, operation.path))
        if permitted is None or operation.id in BEYOND_THE_LIST:
            continue
        call = world.good(operation)
        call.account = guest
        own = {"userId": guest.user_id, "deviceId": guest.device_id}
        call.parameters |= {**own, "roomId": room_id, "eventId": event_id}
        answer = world.perform(operation, call)
        assert answer.status < 500, f"{operation}: {answer}"
        refused = (answer.status, answer.errcode) == (403, FORBIDDEN)
        if refused == permitted:
            wrong.append(
                f"{operation} ({operation.id}), guests {'may' if permitted else 'may not'}: {answer}"
            )
        seen[permitted] += 1
    assert min(seen.values()) > 10, seen
    assert not wrong, "\n".join(wrong)
