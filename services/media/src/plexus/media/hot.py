"""Upload and download as plain ASGI: their bodies are streams, which FastAPI would gather first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from plexus.media import downloads, uploads
from plexus.media.headers import label_of
from plexus.media.models import Label, check_mxc
from plexus.platform.http import (
    Authenticator,
    HotRoute,
    Receive,
    Requester,
    Scope,
    Send,
    bearer,
    query,
    send_json,
)
from plexus.protocol.errors import GuestAccessForbidden, InvalidParam, MissingToken, NotFound, UserSuspended

if TYPE_CHECKING:
    from plexus.platform.context import Platform

DOWNLOAD = "/_matrix/client/v1/media/download/{serverName}/{mediaId}"


class MediaHandlers:
    """The handlers over one platform. Client-Server API, "Content repository"."""

    def __init__(self, platform: Platform, authenticator: Authenticator) -> None:
        self._platform = platform
        self._authenticator = authenticator

    def routes(self) -> list[HotRoute]:
        file = DOWNLOAD + "/{fileName}"
        return [
            HotRoute("POST", "/_matrix/media/v3/upload", self.upload_content, _operation("uploadContent")),
            HotRoute(
                "PUT",
                "/_matrix/media/v3/upload/{serverName}/{mediaId}",
                self.upload_content_to_mxc,
                _operation("uploadContentToMXC", "serverName", "mediaId"),
            ),
            HotRoute(
                "GET",
                DOWNLOAD,
                self.get_content_authed,
                _operation("getContentAuthed", "serverName", "mediaId"),
            ),
            HotRoute(
                "GET",
                file,
                self.get_content_authed,
                _operation("getContentOverrideNameAuthed", "serverName", "mediaId", "fileName"),
            ),
        ]

    async def upload_content(
        self, scope: Scope, receive: Receive, send: Send, params: dict[str, str]
    ) -> None:
        """POST /_matrix/media/v3/upload"""
        uploader = await self._uploader(scope)
        label = self._label(scope)
        await self._platform.limits.check("media", uploader)
        media_id = await uploads.upload(self._platform, receive, uploader, label)
        uri = f"mxc://{self._platform.settings.server_name}/{media_id}"
        await send_json(send, 200, orjson.dumps({"content_uri": uri}))

    async def upload_content_to_mxc(
        self, scope: Scope, receive: Receive, send: Send, params: dict[str, str]
    ) -> None:
        """PUT /_matrix/media/v3/upload/{serverName}/{mediaId}"""
        uploader = await self._uploader(scope)
        server_name, media_id = params["serverName"], params["mediaId"]
        check_mxc(server_name, media_id)
        if server_name != self._platform.settings.server_name:
            raise NotFound("Unknown media ID")
        label = self._label(scope)
        item = await uploads.check_fillable(self._platform, media_id, uploader)
        await self._platform.limits.check("media", uploader)
        await uploads.fill(self._platform, receive, item, label)
        await send_json(send, 200, b"{}")

    async def get_content_authed(
        self, scope: Scope, receive: Receive, send: Send, params: dict[str, str]
    ) -> None:
        """GET /_matrix/client/v1/media/download/{serverName}/{mediaId}, with or without a file name"""
        await self._requester(scope)
        timeout_ms = _timeout(query(scope).get("timeout_ms"))
        stored = await downloads.find(self._platform, params["serverName"], params["mediaId"], timeout_ms)
        await downloads.serve(
            self._platform,
            send,
            stored,
            filename=params.get("fileName"),
            range_header=_header(scope, b"range"),
            if_none_match=_header(scope, b"if-none-match"),
        )

    async def _requester(self, scope: Scope) -> Requester:
        token = bearer(scope)
        if token is None:
            raise MissingToken
        return await self._authenticator.authenticate(token, scope.get("client_addr"))

    async def _uploader(self, scope: Scope) -> str:
        requester = await self._requester(scope)
        if requester.is_guest:
            raise GuestAccessForbidden
        if requester.is_suspended:
            raise UserSuspended
        return requester.user_id

    def _label(self, scope: Scope) -> Label:
        # Everything that can be refused is refused before the first byte of the body.
        headers = dict(scope["headers"])
        uploads.check_announced_size(
            headers.get(b"content-length"), self._platform.settings.media.max_upload_bytes
        )
        return label_of(headers.get(b"content-type"), query(scope).get("filename"))


def _header(scope: Scope, name: bytes) -> str | None:
    value: bytes | None = dict(scope["headers"]).get(name)
    return None if value is None else value.decode("latin-1")


def _timeout(text: str | None) -> int:
    if text is None:
        return downloads.DEFAULT_TIMEOUT_MS
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise InvalidParam("timeout_ms is a number of milliseconds")
    return int(text)


def _operation(operation_id: str, *path: str) -> dict[str, Any]:
    """The OpenAPI of one of these: bytes in or bytes out."""
    data = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in path
    ]
    answer: dict[str, Any] = {"application/json": {"schema": {"type": "object"}}}
    operation: dict[str, Any] = {"operationId": operation_id, "tags": ["Media"]}
    if operation_id.startswith("upload"):
        parameters.append({"name": "filename", "in": "query", "schema": {"type": "string"}})
        operation["requestBody"] = {"required": True, "content": data}
    else:
        parameters.append({"name": "timeout_ms", "in": "query", "schema": {"type": "integer", "minimum": 0}})
        answer = data
    operation["parameters"] = parameters
    operation["responses"] = {"200": {"description": "Done.", "content": answer}}
    return operation
