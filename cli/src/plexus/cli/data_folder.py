"""The folder that is an embedded server: its settings, signing key, PostgreSQL and media.

    DATA/plexus.toml     settings; the first start writes the server's name into it
    DATA/signing.key     what signs the server's events
    DATA/postgres/       rooms, users, everything
    DATA/media/          files

A copy of the folder of a stopped server is that server.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plexus.platform.settings import Settings, SettingsError, load_settings
from plexus.platform.settings.load import CONFIG_VARIABLE

SETTINGS_FILE = "plexus.toml"

FIRST_SETTINGS = """\
# Settings of this Plexus. docs/settings.md lists them all; the environment overrides what stands here.

# Part of every user id and event: it can never be changed.
server_name = "{server_name}"
"""


def open_folder(
    data: Path, *, overrides: Mapping[str, Any] | None = None, env: Mapping[str, str] | None = None
) -> Settings:
    """The settings of the server in `data`, which need not exist yet. Changes nothing.

    They come from `overrides` over the environment over the folder's settings file (or the one that
    PLEXUS_CONFIG names). `SettingsError` if something is wrong, a name other than the folder's included.
    """
    environment = os.environ if env is None else env
    own = data / SETTINGS_FILE
    config = own if not environment.get(CONFIG_VARIABLE) and own.exists() else None
    settings = load_settings(config, env=environment, overrides={**(overrides or {}), "data_dir": data})
    kept = kept_name(data)
    if kept not in (None, settings.server_name):
        raise SettingsError(
            [
                f"server_name: the folder {data} is the server {kept!r} and cannot become "
                f"{settings.server_name!r}: the name is part of all its users, rooms and events. "
                "Take another folder for another server."
            ]
        )
    return settings


def kept_name(data: Path) -> str | None:
    """The server name that the folder was begun with; None if it was not begun."""
    try:
        text = (data / SETTINGS_FILE).read_text(encoding="utf-8")
        name = tomllib.loads(text).get("server_name")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError([f"The settings file {data / SETTINGS_FILE} cannot be read: {error}"]) from None
    return name if isinstance(name, str) else None


def begin_folder(settings: Settings) -> bool:
    """Make the folder and keep the server's name in it; True if that was not done before."""
    data = settings.data_dir
    # Others may pass through but not look: PostgreSQL runs as a user of its own when we are root.
    data.mkdir(mode=0o711, parents=True, exist_ok=True)
    if kept_name(data) is not None:
        return False
    file = data / SETTINGS_FILE
    written = file.with_suffix(".new")
    before = file.read_text(encoding="utf-8") if file.exists() else ""
    written.write_text(FIRST_SETTINGS.format(server_name=settings.server_name) + before, encoding="utf-8")
    written.chmod(0o600)
    written.replace(file)
    return True
