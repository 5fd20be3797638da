"""Ports for programs that are started again and again on the same one."""

from __future__ import annotations

import errno
import random
import socket

_FIRST, _LAST = 20_000, 32_000
"""Below those that the system gives to outgoing connections: one of them may take the port of a program that
is just being started again.
"""


class Ports:
    """Gives each port once."""

    def __init__(self) -> None:
        self._given: set[int] = set()

    def free(self) -> int:
        """A TCP port of the loopback that was free a moment ago."""
        while True:
            port = random.randrange(_FIRST, _LAST)
            if port not in self._given and _is_free(port):
                self._given.add(port)
                return port


def why_not(port: int) -> str | None:
    """What keeps a program from listening there, in words. HAProxy itself would share the port with another
    HAProxy, and each would get some of the connections.
    """
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
            listener.listen(1)
        except OSError as error:
            return "another program listens there" if error.errno == errno.EADDRINUSE else str(error.strerror)
    return None


def _is_free(port: int) -> bool:
    with socket.socket() as listener:
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
