"""What can be wrong with a request of another server, or with where one of ours would go.

RemoteFault (plexus.protocol)
├── RequestRefused       401 M_UNAUTHORIZED: not signed, or not rightly, or not for us
├── AddressRefused       502 M_UNKNOWN: its name leads to addresses that nobody shall reach through us
├── RequestFailed        502 M_UNKNOWN: there was no whole answer
└── BadKeyDocument       a published key document that proves nothing
"""

from __future__ import annotations

from plexus.protocol.errors import RemoteFault


class RequestRefused(RemoteFault):
    """The request does not prove who sent it. Server-Server API, "Request Authentication"."""

    STATUS, ERRCODE = 401, "M_UNAUTHORIZED"


class AddressRefused(RemoteFault):
    """A name that others gave us leads into a private network."""

    STATUS = 502


class RequestFailed(RemoteFault):
    """Nobody answered, or not wholly, or too late."""

    STATUS = 502


class BadKeyDocument(RemoteFault):
    """A server's key document is malformed or not signed by the keys that it lists."""
