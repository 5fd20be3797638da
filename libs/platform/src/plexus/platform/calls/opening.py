"""The adapter that the settings ask for."""

from __future__ import annotations

from plexus.platform.calls.direct import DirectCalls
from plexus.platform.calls.http import HttpCalls
from plexus.platform.calls.tls import CallsTls
from plexus.platform.settings import CallsSettings, SettingsError
from plexus.platform.telemetry import Telemetry


def open_calls(settings: CallsSettings, telemetry: Telemetry) -> DirectCalls | HttpCalls:
    """Direct calls where there is nobody to call and nobody who would. `SettingsError` for certificates that
    cannot be used.
    """
    if not settings.listener.enabled and not settings.addresses:
        return DirectCalls(telemetry.traceparent)
    return HttpCalls(settings, telemetry, _tls(settings))


def _tls(settings: CallsSettings) -> CallsTls | None:
    if settings.certificate is None or settings.private_key is None or settings.ca_file is None:
        return None
    try:
        return CallsTls(settings.certificate, settings.private_key, settings.ca_file)
    except (OSError, ValueError) as error:
        raise SettingsError([f"calls.certificate, private_key or ca_file: {error}"]) from None
