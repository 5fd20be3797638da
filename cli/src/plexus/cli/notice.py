"""`plexus notice`: the server says something to a user, beside a running server or on a stopped one."""

from __future__ import annotations

import sys
from secrets import token_hex
from typing import TYPE_CHECKING, Annotated

import typer
from plexus.cli.options import DEFAULT_DATA, Data
from plexus.cli.progress import say
from plexus.cli.user import Name, localpart

if TYPE_CHECKING:
    from plexus.platform.context import Platform


def notice(
    name: Name,
    text: Annotated[
        str, typer.Argument(help='What is said; "-": what stands on standard input.', metavar="TEXT")
    ],
    data: Data = DEFAULT_DATA,
    key: Annotated[
        str | None, typer.Option("--key", help="Names the notice: sent again, it is not sent twice.")
    ] = None,
) -> None:
    """Send a user a notice, in a room that the server makes for that."""
    # Only now: whoever asks for help should not wait for it.
    from plexus.cli.store import on_platform

    said = sys.stdin.read() if text == "-" else text
    sent = on_platform(
        data, lambda platform: send(platform, name, said, token_hex(16) if key is None else key)
    )
    say(f"{sent['event_id']} in {sent['room_id']}")


async def send(platform: Platform, name: str, text: str, key: str) -> dict[str, str]:
    """As ``sendServerNotice`` does it, with its errors."""
    from plexus.cli.composition import Libraries
    from plexus.client_api.deps import ClientApi
    from plexus.client_api.identity_servers import IdentityServers
    from plexus.client_api.server_notices import service
    from plexus.client_api.server_notices.models import said

    libraries = Libraries(platform)
    rooms, users, wire = libraries.rooms, libraries.users, libraries.wire
    api = ClientApi(platform, rooms, users, IdentityServers(platform.settings, wire))
    user_id = users.user_id_for(localpart(users, name))
    try:
        return await service.send(api, user_id, key, said(text))
    finally:
        await api.room_tasks.drain()
        # Not started: nothing here waits to be told of anything.
        for library in (wire, rooms):
            await library.stop()
