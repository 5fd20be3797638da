"""Both directions of a signed request, with the keys looked up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from plexus.protocol.signatures import SigningKey
from plexus.wire.authorization import is_x_matrix, parse_authorization
from plexus.wire.errors import RequestRefused
from plexus.wire.remote_keys import RemoteKeys
from plexus.wire.requests import SignedRequest, check_request, sign_request

MAX_SIGNATURES = 5
"""Headers looked at: a server that rotates its key signs with two."""


class Clock(Protocol):
    def now_ms(self) -> int: ...


class OwnKeys(Protocol):
    def current(self) -> SigningKey: ...


@dataclass(frozen=True, slots=True)
class Authenticated:
    """``origin`` has sent this; ``content`` is its parsed body, None if it had none."""

    origin: str
    content: dict[str, Any] | None


class RequestAuthenticator:
    """Checks what other servers send to ``server_name`` and signs what it sends."""

    def __init__(self, *, server_name: str, clock: Clock, own_keys: OwnKeys, remote_keys: RemoteKeys) -> None:
        self._server_name = server_name
        self._clock = clock
        self._own_keys = own_keys
        self._remote_keys = remote_keys

    async def authenticate(self, request: SignedRequest, authorization: Sequence[str]) -> Authenticated:
        """Who sent ``request``, from the values of its ``Authorization`` headers.

        With several X-Matrix headers all must claim the same origin, and one right signature proves it.
        Raises `RequestRefused`, or `NotJson` and `BadJson` for the body.
        """
        headers = [parse_authorization(value) for value in authorization if is_x_matrix(value)][
            :MAX_SIGNATURES
        ]
        if not headers:
            raise RequestRefused("The request is not signed")
        if len({claims.origin for claims in headers}) != 1:
            raise RequestRefused("The signatures are of different servers")
        refusal = RequestRefused("The request is not signed")
        for claims in headers:
            key = await self._remote_keys.key(claims.origin, claims.key_id)
            try:
                content = check_request(
                    request, claims, key, server_name=self._server_name, now_ms=self._clock.now_ms()
                )
            except RequestRefused as error:
                refusal = error
            else:
                return Authenticated(claims.origin, content)
        raise refusal

    def sign(self, method: str, uri: str, destination: str, content: Mapping[str, Any] | None = None) -> str:
        """The ``Authorization`` header of a request of ours, by the current key."""
        return sign_request(
            method,
            uri,
            origin=self._server_name,
            destination=destination,
            key=self._own_keys.current(),
            content=content,
        )
