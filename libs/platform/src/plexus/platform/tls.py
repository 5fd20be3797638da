"""TLS for the federation listener, with a certificate that is replaced while we listen.

The listener's own context never changes; at each handshake it hands over to the newest one. So a reload is
atomic: a certificate is never paired with another one's key, and connections that stand keep theirs.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from plexus.platform.watch import Watched

if TYPE_CHECKING:
    from plexus.platform.settings import FederationListener


class ReloadingTls:
    """Raises OSError (``ssl.SSLError`` is one) if the files cannot be read or do not belong together."""

    def __init__(self, settings: FederationListener) -> None:
        if settings.certificate is None or settings.private_key is None:
            raise ValueError("A TLS listener needs certificate and private_key")
        self._certificate: Path = settings.certificate
        self._key: Path = settings.private_key
        self._password = (
            settings.private_key_password.get_secret_value() if settings.private_key_password else None
        )
        self._current = self._load()
        self.context = self._load()
        self.context.sni_callback = self._hand_over
        self.watched = Watched("the TLS certificate", (self._certificate, self._key), self._reload)

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        # Without a password OpenSSL would ask the terminal for one.
        context.load_cert_chain(self._certificate, self._key, self._password or no_password)
        return context

    def _reload(self) -> None:
        self._current = self._load()

    def _hand_over(self, connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, _: object) -> None:
        connection.context = self._current


def no_password() -> str:
    raise ValueError("The private key has a password, and none is set for it")
