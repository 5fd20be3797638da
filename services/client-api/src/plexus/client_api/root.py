"""The composition root of client-api: its features, in the order of the specification."""

from __future__ import annotations

import asyncio

from plexus.client_api.account_data import routes as account_data
from plexus.client_api.accounts import routes as accounts
from plexus.client_api.administration import routes as administration
from plexus.client_api.creation import routes as creation
from plexus.client_api.delayed_events import routes as delayed_events
from plexus.client_api.deps import ClientApi
from plexus.client_api.devices import routes as devices
from plexus.client_api.directory import routes as directory
from plexus.client_api.discovery import routes as discovery
from plexus.client_api.fallback import routes as fallback
from plexus.client_api.filters import routes as filters
from plexus.client_api.identity_servers import IdentityServers
from plexus.client_api.membership import routes as membership
from plexus.client_api.mutual_rooms import routes as mutual_rooms
from plexus.client_api.notifications import routes as notifications
from plexus.client_api.openid import routes as openid
from plexus.client_api.presence import routes as presence
from plexus.client_api.profiles import routes as profiles
from plexus.client_api.push_rules import routes as push_rules
from plexus.client_api.pushers import routes as pushers
from plexus.client_api.reading import routes as reading
from plexus.client_api.receipts import routes as receipts
from plexus.client_api.relations import routes as relations
from plexus.client_api.reports import routes as reports
from plexus.client_api.search import routes as search
from plexus.client_api.sending import routes as sending
from plexus.client_api.server_notices import routes as server_notices
from plexus.client_api.summaries import routes as summaries
from plexus.client_api.tags import routes as tags
from plexus.client_api.thread_subscriptions import routes as thread_subscriptions
from plexus.client_api.threepids import routes as threepids
from plexus.client_api.timestamps import routes as timestamps
from plexus.client_api.typing import routes as typing
from plexus.client_api.upgrade import routes as upgrade
from plexus.client_api.user_directory import routes as user_directory
from plexus.client_api.voip import routes as voip
from plexus.platform.context import Platform
from plexus.platform.http import make_app
from plexus.platform.service import Service
from plexus.rooms import Rooms
from plexus.users import Users
from plexus.wire import Wire

FEATURES = (
    discovery,
    accounts,
    devices,
    profiles,
    account_data,
    tags,
    filters,
    push_rules,
    pushers,
    notifications,
    creation,
    membership,
    sending,
    delayed_events,
    receipts,
    typing,
    presence,
    reading,
    relations,
    thread_subscriptions,
    timestamps,
    directory,
    summaries,
    search,
    user_directory,
    upgrade,
    voip,
    administration,
    server_notices,
    reports,
    openid,
    mutual_rooms,
    threepids,
    fallback,
)


def build(platform: Platform, *, rooms: Rooms, users: Users, wire: Wire) -> Service:
    """The service over these libraries; they are started and stopped by who made them."""
    api = ClientApi(platform, rooms, users, IdentityServers(platform.settings, wire))
    app = make_app("Plexus client-server API")
    app.state.deps = api
    app.state.authenticator = users
    hot = []
    for feature in FEATURES:
        app.include_router(feature.router)
        if hasattr(feature, "hot"):
            hot += feature.hot(api)

    async def drain() -> None:
        await asyncio.gather(api.room_tasks.drain(), api.guests.drain())

    return Service("client-api", app, hot, start=users.presence.start, drain=drain, stop=drain)
