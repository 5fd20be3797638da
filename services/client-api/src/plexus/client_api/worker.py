"""The composition root of the worker: what client-api has begun and not ended, without an endpoint."""

from __future__ import annotations

from plexus.client_api.profiles.room_tasks import RoomTasks
from plexus.platform.context import Platform
from plexus.platform.http import make_app
from plexus.platform.service import Service
from plexus.rooms import Rooms
from plexus.users import Users


def build(platform: Platform, *, rooms: Rooms, users: Users) -> Service:
    """What goes on without a request: changes of an account that its rooms are still owed, because the
    process that began them died or a room was not to be had.
    """
    tasks = RoomTasks(rooms, users)
    app = make_app("Plexus worker")
    return Service("worker", app, start=tasks.start, drain=tasks.drain, stop=tasks.drain)
