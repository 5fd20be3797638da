"""A small identity server: sessions, bindings, look-ups by hash and stored invites, over TLS, with real keys.

It signs and checks with `signedjson`, not with what is under test.
"""

from __future__ import annotations

import secrets
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from signedjson import key as keys
from signedjson import sign
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response

from tests.support.authority import Authority

V2 = "/_matrix/identity/v2"
Json = dict[str, Any]


@dataclass
class IdentityServer:
    """``home_keys``: the verify keys of the homeservers that may unbind, by server name."""

    name: str
    ca_file: str
    token: str = "idtoken"
    pepper: str = "salt"
    home_keys: dict[str, list[Any]] = field(default_factory=dict)
    sessions: dict[str, tuple[str, str, str, bool]] = field(default_factory=dict)
    bound: dict[tuple[str, str], str] = field(default_factory=dict)
    invites: list[Json] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    answers: dict[str, Response] = field(default_factory=dict)
    """What is answered on a path instead of the truth."""
    rotate: bool = False
    key: Any = field(default_factory=lambda: keys.generate_signing_key("0"))
    ephemeral: dict[str, Any] = field(default_factory=dict)
    revoked: set[str] = field(default_factory=set)

    def session(self, address: str, *, medium: str = "email", validated: bool = True) -> dict[str, str]:
        """What a client sends of a session that it had here."""
        sid = secrets.token_hex(4)
        self.sessions[sid] = ("secret", medium, address, validated)
        return {
            "sid": sid,
            "client_secret": "secret",
            "id_server": self.name,
            "id_access_token": self.token,
        }

    def accept(self, invite: Json, mxid: str) -> Json:
        """What who has bound the address gets: the invite's token, signed for them."""
        signed: Json = {"mxid": mxid, "sender": invite["sender"], "token": invite["token"]}
        signed = sign.sign_json(signed, self.name, self.key)
        return dict(sign.sign_json(signed, self.name, self.ephemeral[invite["token"]]))

    def settings(self) -> Json:
        """The settings of a homeserver that trusts it."""
        return {
            "identity": {"trusted_servers": [self.name], "timeout_seconds": 2},
            "outbound": {"extra_ca": self.ca_file, "allowed_private_ranges": ["127.0.0.0/8", "::1/128"]},
        }

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.middleware("http")
        async def note(request: Request, call_next: Any) -> Response:
            self.asked.append(f"{request.method} {request.url.path}")
            if request.url.path in self.answers:
                return self.answers[request.url.path]
            open_to_all = "/pubkey/" in request.url.path or request.url.path.endswith("/unbind")
            if not open_to_all and request.headers.get("authorization") != f"Bearer {self.token}":
                return error(401, "M_UNAUTHORIZED", "who are you")
            answer: Response = await call_next(request)
            return answer

        @app.get(V2 + "/3pid/getValidated3pid")
        async def validated(sid: str, client_secret: str) -> Response:
            return self._session_answer(sid, client_secret)

        @app.post(V2 + "/3pid/bind")
        async def bind(request: Request) -> Response:
            body = await request.json()
            answer = self._session_answer(body["sid"], body["client_secret"])
            if answer.status_code != 200:
                return answer
            _, medium, address, _ = self.sessions[body["sid"]]
            self.bound[(medium, address)] = body["mxid"]
            told = {"address": address, "medium": medium, "mxid": body["mxid"], "ts": now()}
            told |= {"not_before": now() - 1, "not_after": now() + 10**9}
            return JSONResponse(sign.sign_json(told, self.name, self.key))

        @app.post(V2 + "/3pid/unbind")
        async def unbind(request: Request) -> Response:
            body = await request.json()
            if not self._is_signed(request, body) or set(body) != {"mxid", "threepid"}:
                return error(403, "M_FORBIDDEN", "Invalid homeserver signature")
            threepid = (body["threepid"]["medium"], body["threepid"]["address"])
            if self.bound.get(threepid) == body["mxid"]:
                del self.bound[threepid]
            return JSONResponse({})

        @app.get(V2 + "/hash_details")
        async def hash_details() -> Response:
            return JSONResponse({"algorithms": ["sha256"], "lookup_pepper": self.pepper})

        @app.post(V2 + "/lookup")
        async def lookup(request: Request) -> Response:
            body = await request.json()
            if self.rotate:
                self.rotate, self.pepper = False, self.pepper + "2"
            if body["pepper"] != self.pepper:
                return error(400, "M_INVALID_PEPPER", "Unknown or invalid pepper")
            known = {hashed(f"{a} {m} {self.pepper}"): mxid for (m, a), mxid in self.bound.items()}
            found = {each: known[each] for each in body["addresses"] if each in known}
            return JSONResponse({"mappings": found})

        @app.post(V2 + "/store-invite")
        async def store_invite(request: Request) -> Response:
            body = await request.json()
            token, ephemeral = secrets.token_urlsafe(16), keys.generate_signing_key("e")
            self.ephemeral[token] = ephemeral
            self.invites.append({**body, "token": token})
            urls = (f"https://{self.name}{V2}/pubkey/{each}isvalid" for each in ("", "ephemeral/"))
            public = [
                {
                    "public_key": keys.encode_verify_key_base64(keys.get_verify_key(key)),
                    "key_validity_url": url,
                }
                for key, url in zip((self.key, ephemeral), urls, strict=True)
            ]
            return JSONResponse({"token": token, "public_keys": public, "display_name": "f...@b..."})

        @app.get(V2 + "/pubkey/isvalid")
        @app.get(V2 + "/pubkey/ephemeral/isvalid")
        async def is_valid(public_key: str) -> Response:
            known = [self.key, *self.ephemeral.values()]
            encoded = [keys.encode_verify_key_base64(keys.get_verify_key(key)) for key in known]
            return JSONResponse({"valid": public_key in encoded and public_key not in self.revoked})

        return app

    def _session_answer(self, sid: str, secret: str) -> Response:
        session = self.sessions.get(sid)
        if session is None or session[0] != secret:
            return error(404, "M_NO_VALID_SESSION", "No valid session was found")
        if not session[3]:
            return error(400, "M_SESSION_NOT_VALIDATED", "This validation session has not yet been completed")
        return JSONResponse({"medium": session[1], "address": session[2], "validated_at": now()})

    def _is_signed(self, request: Request, content: Json) -> bool:
        scheme, _, text = request.headers.get("authorization", "").partition(" ")
        if scheme != "X-Matrix":
            return False
        pairs = (part.strip().split("=", 1) for part in text.split(","))
        claims = {name: value.strip('"') for name, value in pairs}
        signed = {
            "method": "POST",
            "uri": request.url.path,
            "origin": claims["origin"],
            "destination": self.name,
            "content": content,
            "signatures": {claims["origin"]: {claims["key"]: claims["sig"]}},
        }
        for verify_key in self.home_keys.get(claims["origin"], ()):
            try:
                sign.verify_signed_json(signed, claims["origin"], verify_key)
            except sign.SignatureVerifyException:
                continue
            return True
        return False


def error(status: int, errcode: str, message: str) -> Response:
    return JSONResponse({"errcode": errcode, "error": message}, status)


def no_json(status: int) -> Response:
    return PlainTextResponse("what?", status)


def led_on(to: str) -> Response:
    return RedirectResponse(to)


def hashed(text: str) -> str:
    return urlsafe_b64encode(sha256(text.encode()).digest()).rstrip(b"=").decode()


def now() -> int:
    return int(time.time() * 1000)


@contextmanager
def open_identity_server(folder: Path) -> Iterator[IdentityServer]:
    """It runs on a thread of its own until the block ends."""
    authority = Authority(folder / "authority")
    files = authority.issue("identity")
    server = IdentityServer("localhost", str(authority.file))
    config = uvicorn.Config(
        server.app(),
        host="127.0.0.1",
        port=0,
        ssl_certfile=files["certificate"],
        ssl_keyfile=files["private_key"],
        log_level="warning",
        lifespan="off",
    )
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    while not running.started:
        assert thread.is_alive(), "the identity server did not start"
        time.sleep(0.01)
    server.name = f"localhost:{running.servers[0].sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        running.should_exit = True
        thread.join(10)
