"""An API server of Kubernetes, as far as Leases go: over HTTP, and as difficult as a real one can be.

Each write gives the object a new ``resourceVersion``, and one over another version than the newest is refused
(409). Watches tell what has changed since a version, end when the server likes, and are refused (410, as a
status or as an event in the stream) when that version has been forgotten.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson
from aiohttp import web
from plexus.platform.leases import LeaseApi, connect
from plexus.platform.settings import LeadershipSettings

Json = dict[str, Any]

_LEASES = "/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
NAMESPACE = "plexus"

_CONFIG = """
apiVersion: v1
kind: Config
current-context: test
contexts: [{{name: test, context: {{cluster: test, user: test}}}}]
clusters: [{{name: test, cluster: {{server: "{server}"}}}}]
users: [{{name: test, user: {{token: "test"}}}}]
"""


def lease_api(
    folder: Path, server: str, *, prefix: str = "plexus-", kubeconfig: Path | None = None
) -> LeaseApi:
    """By a kubeconfig, as outside of a pod."""
    if kubeconfig is None:
        kubeconfig = folder / "kubeconfig"
        kubeconfig.write_text(_CONFIG.format(server=server))
    return connect(
        LeadershipSettings(kind="kubernetes", namespace=NAMESPACE, kubeconfig=kubeconfig, lease_prefix=prefix)
    )


class ApiServer:
    """``conflicts``: writes that are refused from now on. ``refuse``: the status that all requests get."""

    def __init__(self) -> None:
        self.leases: dict[str, Json] = {}
        self.version = 1
        self.forgotten = 0
        self.conflicts = 0
        self.refuse: int | None = None
        self.gone_in_stream = False
        self.watches = 0
        self.lists = 0
        self._history: list[tuple[int, str, Json]] = []
        self._changed = asyncio.Condition()
        self._ending = asyncio.Event()

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get(_LEASES, self._list)
        app.router.add_post(_LEASES, self._create)
        app.router.add_get(_LEASES + "/{name}", self._read)
        app.router.add_put(_LEASES + "/{name}", self._replace)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.address = f"http://{host}:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end_watches()
        await self._runner.cleanup()

    def end_watches(self) -> None:
        """Those that are open now."""
        self._ending.set()
        self._ending = asyncio.Event()

    def forget(self) -> None:
        """What has happened until now cannot be watched from any more."""
        self.forgotten = self.version
        self._history.clear()

    async def delete(self, name: str) -> None:
        await self._tell("DELETED", self.leases.pop(name))

    async def _read(self, request: web.Request) -> web.Response:
        self._gate()
        found = self.leases.get(request.match_info["name"])
        return _json(found) if found is not None else _status(404, "NotFound")

    async def _create(self, request: web.Request) -> web.Response:
        self._gate()
        body = await request.json()
        name = body["metadata"]["name"]
        if name in self.leases:
            return _status(409, "AlreadyExists")
        return await self._store("ADDED", name, body)

    async def _replace(self, request: web.Request) -> web.Response:
        self._gate()
        body = await request.json()
        name = request.match_info["name"]
        if name not in self.leases:
            return _status(404, "NotFound")
        if self.conflicts:
            self.conflicts -= 1
            # What a writer in between would have done.
            await self._store("MODIFIED", name, self.leases[name])
        newest = self.leases[name]["metadata"]["resourceVersion"]
        if body["metadata"].get("resourceVersion") != newest:
            return _status(409, "Conflict")
        return await self._store("MODIFIED", name, body)

    async def _list(self, request: web.Request) -> web.StreamResponse:
        self._gate()
        if request.query.get("watch") in ("true", "True", "1"):
            return await self._watch(request)
        self.lists += 1
        items = list(self.leases.values())
        metadata = {"resourceVersion": str(self.version)}
        return _json({"kind": "LeaseList", "apiVersion": _VERSION, "metadata": metadata, "items": items})

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        self.watches += 1
        after = int(request.query["resourceVersion"])
        ending = self._ending
        if after < self.forgotten and not self.gone_in_stream:
            return _status(410, "Expired")
        stream = web.StreamResponse(headers={"content-type": "application/json"})
        await stream.prepare(request)
        if after < self.forgotten:
            await stream.write(_line("ERROR", _STATUS | {"code": 410, "reason": "Expired"}))
            return stream
        over = asyncio.create_task(ending.wait())
        while not over.done():
            for version, kind, lease in list(self._history):
                if version > after:
                    after = version
                    await stream.write(_line(kind, lease))
            more = asyncio.create_task(self._more(after))
            await asyncio.wait({over, more}, return_when=asyncio.FIRST_COMPLETED)
            more.cancel()
        return stream

    async def _more(self, after: int) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self.version > after)

    async def _store(self, kind: str, name: str, body: Json) -> web.Response:
        lease = {**body, "metadata": {**body["metadata"]}}
        self.leases[name] = lease
        await self._tell(kind, lease)
        return _json(lease, 201 if kind == "ADDED" else 200)

    async def _tell(self, kind: str, lease: Json) -> None:
        self.version += 1
        lease["metadata"]["resourceVersion"] = str(self.version)
        self._history.append((self.version, kind, orjson.loads(orjson.dumps(lease))))
        async with self._changed:
            self._changed.notify_all()

    def _gate(self) -> None:
        if self.refuse is not None:
            raise _Refused(self.refuse)


_VERSION = "coordination.k8s.io/v1"
_STATUS: Json = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": "no"}


class _Refused(web.HTTPException):
    def __init__(self, status: int) -> None:
        self.status_code = status
        super().__init__(text=orjson.dumps({**_STATUS, "code": status}).decode(), reason="Refused")


def _json(value: Any, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(value), status=status, content_type="application/json")


def _status(code: int, reason: str) -> web.Response:
    return _json({**_STATUS, "code": code, "reason": reason}, code)


def _line(kind: str, value: Json) -> bytes:
    return orjson.dumps({"type": kind, "object": value}) + b"\n"
