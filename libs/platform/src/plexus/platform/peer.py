"""Who is at the other end of a connection, as far as those who answer want to know.

A request that is held makes nothing to notice that its client leaves, no task and no timer: the connection
tells its `Peer`, and that one the request. The requests of a connection are answered one after the other, so
one at a time waits.
"""

from __future__ import annotations

from collections.abc import Callable


class Peer:
    """``scope["plexus.peer"]``, one a connection. This one never leaves and reads at once: it is for where
    there is no connection.

    ``gone`` once the connection has ended. ``on_gone`` is called then, in the same turn of the event loop. It
    belongs to the request that waits, which sets it and takes it away again.
    """

    __slots__ = ("gone", "on_gone")

    def __init__(self) -> None:
        self.gone = False
        self.on_gone: Callable[[], None] | None = None

    def leave(self) -> None:
        """The connection has ended."""
        self.gone = True
        if self.on_gone is not None:
            self.on_gone()

    async def taken(self) -> None:
        """Wait until the client has read what was sent, but for the little that a transport keeps of each;
        or until it has gone, be it because it did not read.
        """
