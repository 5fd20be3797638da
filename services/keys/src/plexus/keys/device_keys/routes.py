"""Keys of devices. Client-Server API, "Key management API"."""

from __future__ import annotations

from typing import Any

from plexus.keys.deps import Deps
from plexus.keys.device_keys import service
from plexus.keys.device_keys.models import KeysClaim, KeysQuery, KeysUpload
from plexus.platform.http import User, make_router

router = make_router(prefix="/_matrix/client/v3/keys", tags=["End-to-end encryption"])


@router.post("/upload", operation_id="uploadKeys")
async def upload_keys(keys: Deps, requester: User, body: KeysUpload) -> dict[str, Any]:
    """Publish keys of the device of this access token."""
    await keys.platform.limits.check("keys", requester.user_id)
    return await service.upload(keys, requester, body)


@router.post("/query", operation_id="queryKeys")
async def query_keys(keys: Deps, requester: User, body: KeysQuery) -> dict[str, Any]:
    """The identity keys of users' devices."""
    await keys.platform.limits.check("keys", requester.user_id)
    return await service.query(keys, body)


@router.post("/claim", operation_id="claimKeys")
async def claim_keys(keys: Deps, requester: User, body: KeysClaim) -> dict[str, Any]:
    """A one-time key of each of some devices, given to nobody else."""
    await keys.platform.limits.check("keys", requester.user_id)
    return await service.claim(keys, body)
