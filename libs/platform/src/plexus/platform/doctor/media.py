"""The bucket that media are kept in."""

from __future__ import annotations

from plexus.platform.doctor.findings import Finding, failure, ok
from plexus.platform.objects import open_objects
from plexus.platform.settings import Settings, SettingsError


async def media(settings: Settings) -> list[Finding]:
    """Whether it answers to the key that we have; a folder is the disk's business."""
    url = settings.media.store_url
    if url is None or url.startswith("file://"):
        return []
    try:
        trouble = await open_objects(settings.media, settings.data_dir).trouble()
    except SettingsError as error:
        trouble = "; ".join(error.problems)
    if trouble is None:
        return [ok("media", f"{url} answers")]
    return [
        failure(
            "media",
            f"{url} does not answer: {trouble}",
            "see that the bucket exists, and media.store_endpoint, store_region and the key; the key needs "
            "to get, put, delete and list",
        )
    ]
