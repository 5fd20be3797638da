"""Settings as a person at a terminal wants them: what the command line says, and little noise."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plexus.cli.data_folder import open_folder
from plexus.platform.settings import Settings


def open_for_command(data: Path, *, overrides: Mapping[str, Any] | None = None) -> Settings:
    """The settings of the folder (see `open_folder`) for a command that is here for a moment, and its logs:
    what is worth a warning goes to standard error, the answer alone to standard output.
    """
    # Only now: it brings all telemetry, and a command that is only explained does not come here.
    from plexus.platform.logs import configure_logging

    settings = for_a_terminal(open_folder(data, overrides=overrides))
    configure_logging(settings.telemetry)
    return settings


def overrides(
    *,
    port: int | None = None,
    addresses: list[str] | None = None,
    internal_port: int | None = None,
    server_name: str | None = None,
) -> dict[str, Any]:
    """What the command line says, nested as in the settings file."""
    client = {"port": port, "addresses": addresses or None}
    given = {"client": without_none(client), "internal": without_none({"port": internal_port})}
    listeners = {name: values for name, values in given.items() if values}
    return without_none({"server_name": server_name, "listeners": listeners or None})


def without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def for_a_terminal(settings: Settings) -> Settings:
    """Defaults that suit one process in the foreground; what was set, by whatever way, stays as it is.

    Logs are lines for eyes and only what matters; the internal listener takes any free port, so that two
    servers on a machine need not agree about one.
    """
    telemetry, listeners = settings.telemetry, settings.listeners
    quiet = {"log_format": "text", "log_level": "warning"}
    if "access_log" in telemetry.model_fields_set:
        del quiet["log_level"]  # requests are logged at "info": who asks for them wants to see them
    changes = {name: value for name, value in quiet.items() if name not in telemetry.model_fields_set}
    update: dict[str, Any] = {"telemetry": telemetry.model_copy(update=changes)}
    if "port" not in listeners.internal.model_fields_set:
        internal = listeners.internal.model_copy(update={"port": 0})
        update["listeners"] = listeners.model_copy(update={"internal": internal})
    return settings.model_copy(update=update)
