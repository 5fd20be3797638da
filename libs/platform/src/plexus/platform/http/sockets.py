"""Binding the sockets of a listener."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from plexus.platform.settings import Listener


class ListenError(Exception):
    """An address cannot be listened on; the message names it and says why."""


def bind(listener: Listener) -> list[socket.socket]:
    """A socket for each address of the listener; `ListenError` closes those already bound."""
    bound: list[socket.socket] = []
    try:
        for address in listener.addresses:
            bound.append(_bind(address, listener.port))
    except ListenError:
        for sock in bound:
            sock.close()
        raise
    return bound


def _bind(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # An IPv4 address beside it gets a socket of its own.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((address, port))
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise ListenError(f"Cannot listen on {address} port {port}: {reason}") from None
    return sock
