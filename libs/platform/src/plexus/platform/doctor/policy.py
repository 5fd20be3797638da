"""Settings that are allowed and may not be meant."""

from __future__ import annotations

from ipaddress import ip_address

from plexus.platform.doctor.findings import Finding, ok, warning
from plexus.platform.settings import Settings


def name(settings: Settings) -> list[Finding]:
    host = settings.server_name.partition(":")[0]
    if host == "localhost" or _is_loopback(host):
        return [
            warning(
                "name",
                f"the server is called {settings.server_name}: no other server can ever find it",
                "fine for trying; a server that is to last needs a name of its own from the start "
                "(server_name), because it can never be changed",
            )
        ]
    return [ok("name", f"this is the server {settings.server_name}")]


def registration(settings: Settings) -> list[Finding]:
    mode = settings.registration.mode
    if mode == "open" and reaches_the_world(settings):
        return [
            warning(
                "registration",
                "anybody in the world may make accounts here; spammers look for such servers",
                'set registration.mode to "token" or "closed"',
            )
        ]
    words = {
        "open": "is open, and only this machine can reach the server",
        "token": "needs a token",
        "closed": "is closed; `plexus user add` makes accounts",
    }
    return [ok("registration", words[mode])]


def rate_limits(settings: Settings) -> list[Finding]:
    if settings.rate_limits.enabled:
        return [ok("limits", "rate limits are on")]
    return [
        warning(
            "limits",
            "rate limits are off: passwords can be guessed as fast as they can be tried",
            "leave out rate_limits.enabled = false, unless a limiter stands in front",
        )
    ]


def proxies(settings: Settings) -> list[Finding]:
    """The client listener speaks plain HTTP."""
    beyond = [text for text in settings.listeners.client.addresses if not _is_loopback(text)]
    if not settings.listeners.client.enabled or not beyond or settings.http.trusted_proxies:
        return []
    return [
        warning(
            "proxy",
            f"clients are listened to on {', '.join(beyond)} in plain HTTP, and no proxy is trusted",
            "put a proxy that speaks TLS in front and name its network in http.trusted_proxies, else all its "
            "clients share one address and one limit",
        )
    ]


def reaches_the_world(settings: Settings) -> bool:
    """Whether somebody on another machine may reach the client API, directly or through a proxy."""
    listens = (settings.listeners.client, settings.listeners.federation)
    return (
        settings.http.public_base_url is not None
        or bool(settings.http.trusted_proxies)
        or any(
            not _is_loopback(text) for listener in listens if listener.enabled for text in listener.addresses
        )
    )


def _is_loopback(text: str) -> bool:
    try:
        return ip_address(text.strip("[]")).is_loopback
    except ValueError:
        return text == "localhost"
