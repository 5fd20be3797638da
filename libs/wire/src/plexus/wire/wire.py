"""The face of this library for a process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from plexus.wire.authenticator import Authenticated, RequestAuthenticator
from plexus.wire.client import OutboundClient
from plexus.wire.outbound import outbound
from plexus.wire.postgres_keys import PostgresRemoteKeys
from plexus.wire.remote_keys import RemoteKeyStore
from plexus.wire.requests import SignedRequest

if TYPE_CHECKING:
    from plexus.platform.context import Platform


class Wire:
    """One a process. ``remote_keys`` is where other servers' keys are kept; PostgreSQL unless given.

    ``outbound`` is what every request to others takes, ``client`` sends those to
    addresses that were named. Raises `SettingsError` if it cannot be made.
    """

    def __init__(self, platform: Platform, *, remote_keys: RemoteKeyStore | None = None) -> None:
        self.remote_keys: RemoteKeyStore = remote_keys or PostgresRemoteKeys(platform.db)
        self.outbound = outbound(platform.settings.outbound)
        self.client = OutboundClient(self.outbound)
        self._requests = RequestAuthenticator(
            server_name=platform.settings.server_name,
            clock=platform.clock,
            own_keys=platform.keys,
            remote_keys=self.remote_keys,
        )

    async def start(self) -> None:
        """Nothing runs in the background yet; here so that every library starts alike."""

    async def stop(self) -> None:
        """Close the connections."""
        await self.client.close()

    async def authenticate(self, request: SignedRequest, authorization: Sequence[str]) -> Authenticated:
        """See `RequestAuthenticator.authenticate`."""
        return await self._requests.authenticate(request, authorization)

    def sign(self, method: str, uri: str, destination: str, content: Mapping[str, Any] | None = None) -> str:
        """See `RequestAuthenticator.sign`."""
        return self._requests.sign(method, uri, destination, content)
