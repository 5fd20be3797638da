"""Emails over SMTP, by the standard library on a thread."""

from __future__ import annotations

import asyncio
import logging
import smtplib
import ssl
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from pathlib import Path

from plexus.platform.settings import EmailSettings, Settings
from plexus.protocol.errors import Unavailable

log = logging.getLogger(__name__)

_TIMEOUT = 20.0
"""Seconds for each step with the SMTP server."""


async def send_email(settings: Settings, to: str, subject: str, text: str) -> None:
    """Hand it to the SMTP server; `Unavailable` if that does not take it."""
    email = settings.email
    message = EmailMessage()
    message["From"] = email.sender or f"noreply@{settings.server_name.partition(':')[0]}"
    message["To"] = to
    message["Subject"] = subject
    message["Date"] = formatdate()
    message["Message-ID"] = make_msgid(domain=settings.server_name.partition(":")[0])
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text)
    try:
        await asyncio.to_thread(_send, email, settings.outbound.extra_ca, message)
    except (OSError, smtplib.SMTPException) as error:
        # Not to whom: an address is nobody's business but its owner's.
        log.warning("an email could not be sent: %s", type(error).__name__, exc_info=error)
        raise Unavailable("The email could not be sent, try again later") from error


def _send(email: EmailSettings, extra_ca: Path | None, message: EmailMessage) -> None:
    assert email.host is not None
    tls = ssl.create_default_context()
    if extra_ca is not None:
        tls.load_verify_locations(cafile=extra_ca)
    if email.security == "tls":
        client: smtplib.SMTP = smtplib.SMTP_SSL(email.host, email.port, timeout=_TIMEOUT, context=tls)
    else:
        client = smtplib.SMTP(email.host, email.port, timeout=_TIMEOUT)
    with client:
        if email.security == "starttls":
            client.starttls(context=tls)
        if email.username is not None and email.password is not None:
            client.login(email.username, email.password.get_secret_value())
        client.send_message(message)
