"""TLS between services: both sides show a certificate, and both are of the same authority.

Whoever has a certificate of that authority may call, so it should sign nothing else. Certificate, key and
authority are read again when the files change; connections that stand keep theirs.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from plexus.platform.tls import no_password
from plexus.platform.watch import Watched


class CallsTls:
    """Raises OSError (``ssl.SSLError`` is one) or ValueError if the files cannot be used."""

    def __init__(self, certificate: Path, private_key: Path, ca_file: Path) -> None:
        self._files = (certificate, private_key, ca_file)
        self._answering = self._load(ssl.PROTOCOL_TLS_SERVER)
        self.calling = self._load(ssl.PROTOCOL_TLS_CLIENT)
        """For the next connection to another service."""
        self.listening = self._load(ssl.PROTOCOL_TLS_SERVER)
        """For the listener, for good: each handshake is handed over to the newest."""
        self.listening.sni_callback = self._hand_over
        self.watched = Watched("the TLS certificate of calls between services", self._files, self._reload)

    def _load(self, side: int) -> ssl.SSLContext:
        certificate, private_key, ca_file = self._files
        context = ssl.SSLContext(side)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(ca_file)
        # Without a password OpenSSL would ask the terminal for one.
        context.load_cert_chain(certificate, private_key, no_password)
        return context

    def _reload(self) -> None:
        # Both before either is used: a reload that fails half way changes nothing.
        answering, calling = self._load(ssl.PROTOCOL_TLS_SERVER), self._load(ssl.PROTOCOL_TLS_CLIENT)
        self._answering, self.calling = answering, calling

    def _hand_over(self, connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, _: object) -> None:
        connection.context = self._answering
