"""The wire between servers: who sent this request, and how we sign ours.

An inbound federation request is checked in this order:

1. `parse_authorization` reads each ``Authorization: X-Matrix …`` header (grammar only).
2. `RemoteKeys.key` gives the sender's published key of that name, or None.
3. `check_request` decides: the destination is us, the key is valid at this moment, and the signature
   covers the method, the target exactly as it was sent, both server names and the body. Pure; the time is
   a parameter.

`Wire.authenticate` does the three for an HTTP request. `Wire.sign` is the other direction, and
`Wire.outbound` what a request of ours is made with: authorities to trust, addresses to stay away from.
`Wire.client` sends those that go to an address somebody has named (an identity server, a push gateway).
`read_server_keys` turns another server's published key document into `RemoteKey` values after checking its
own signatures.

Not here yet: finding servers, fetching their keys, sending to them. Until then a server whose keys are not
in the store is refused.

Server-Server API, "Authentication" and "Retrieving server keys".
"""

from plexus.wire.authenticator import Authenticated, RequestAuthenticator
from plexus.wire.authorization import XMatrix, format_authorization, parse_authorization
from plexus.wire.client import OutboundClient, Reply
from plexus.wire.errors import AddressRefused, RequestFailed, RequestRefused
from plexus.wire.key_documents import read_server_keys
from plexus.wire.outbound import AddressGuard, Outbound
from plexus.wire.remote_keys import MemoryRemoteKeys, RemoteKey, RemoteKeys, RemoteKeyStore
from plexus.wire.requests import SignedRequest, check_request, sign_request
from plexus.wire.wire import Wire

__all__ = [
    "AddressGuard",
    "AddressRefused",
    "Authenticated",
    "MemoryRemoteKeys",
    "Outbound",
    "OutboundClient",
    "RemoteKey",
    "RemoteKeyStore",
    "RemoteKeys",
    "Reply",
    "RequestAuthenticator",
    "RequestFailed",
    "RequestRefused",
    "SignedRequest",
    "Wire",
    "XMatrix",
    "check_request",
    "format_authorization",
    "parse_authorization",
    "read_server_keys",
    "sign_request",
]
