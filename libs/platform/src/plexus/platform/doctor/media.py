"""The object store that media are kept in."""

from __future__ import annotations

import secrets
from pathlib import Path

from plexus.platform.doctor.findings import Finding, failure, ok, warning
from plexus.platform.objects import open_objects
from plexus.platform.settings import Settings, SettingsError
from plexus.protocol.errors import Unavailable

_FOLDER = "file://"


async def media(settings: Settings) -> list[Finding]:
    """Whether objects can be listed, put, read and deleted with the key that we have."""
    url = settings.media.store_url
    if url is None:
        return [] if settings.embedded else [_alone(settings)]
    if _is_to_be_made(url):
        return [ok("media", f"{url} will be made by the first start")]
    trouble = await _trouble(settings)
    if trouble is None:
        return [ok("media", f"{url} can be listed, written to and read")]
    if url.startswith(_FOLDER):
        do = "let the user that Plexus runs as own the folder, or correct media.store_url"
    else:
        do = (
            "see that the bucket exists, and media.store_endpoint, store_region and the key; the key needs "
            "to get, put, delete and list"
        )
    return [failure("media", f"{url} cannot be used: {trouble}", do)]


def _is_to_be_made(url: str) -> bool:
    return url.startswith(_FOLDER) and not Path(url.removeprefix(_FOLDER)).exists()


def _alone(settings: Settings) -> Finding:
    return warning(
        "media",
        f"media are kept in the folder {settings.data_dir / 'media'}: other machines have one of their own",
        "set media.store_url to a store that all replicas reach, unless all of them have this folder",
    )


async def _trouble(settings: Settings) -> str | None:
    key, text = f"doctor-{secrets.token_hex(8)}", b"plexus"
    try:
        store = open_objects(settings.media, settings.data_dir)
        if (said := await store.trouble()) is not None:
            return said
        await store.put(key, text)
        read = await store.get(key)
        await store.delete(key)
    except SettingsError as error:
        return "; ".join(error.problems)
    except Unavailable as error:
        return _words(error.__cause__ or error)
    except OSError as error:
        return _words(error)
    return None if read == text else "it gives back other bytes than were put"


def _words(error: BaseException) -> str:
    return " ".join(str(error).partition("\nDebug source")[0].split())
