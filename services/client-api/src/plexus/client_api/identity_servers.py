"""What we ask identity servers: about validated addresses, to bind and unbind them, whom one belongs to, and
to keep invites for who has no account yet.

Only those of ``identity.trusted_servers`` are asked, by `plexus.wire`'s client, which goes where it may and
takes no more than it must. What they answer is checked before it is used or passed on: an error keeps its
code and sentence, but never says of our own session that it has ended.

Identity Service API.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

import orjson
from plexus.platform.settings import Settings
from plexus.protocol.canonical_json import encode
from plexus.protocol.errors import MatrixError, RemoteFault, ServerNotTrusted
from plexus.protocol.identifiers import is_user_id
from plexus.users import Binding
from plexus.wire import Reply, Wire

V2: Final = "/_matrix/identity/v2"
UNSUPPORTED: Final = frozenset({400, 404, 501})
"""What an identity server that does not unbind answers, without a Matrix error."""

_ERRCODE = re.compile(r"[A-Z][A-Z0-9_.]{0,99}", re.ASCII)
_ABOUT_OUR_SESSION = frozenset(
    {"M_UNKNOWN_TOKEN", "M_MISSING_TOKEN", "M_USER_LOCKED", "M_USER_DEACTIVATED", "M_USER_SUSPENDED"}
)
_TOKEN = re.compile(r"[0-9a-zA-Z.=_-]{1,255}", re.ASCII)

Json = dict[str, Any]


class UnbindUnsupported(RemoteFault):
    """The identity server does not take back what it tells."""

    STATUS = 502


class IdentityServers:
    def __init__(self, settings: Settings, wire: Wire) -> None:
        self._trusted = frozenset(settings.identity.trusted_servers)
        self._timeout = settings.identity.timeout_seconds
        self._wire = wire

    def require_trusted(self, id_server: str) -> None:
        if id_server not in self._trusted:
            raise ServerNotTrusted

    async def validated(
        self, id_server: str, token: str, sid: str, client_secret: str
    ) -> tuple[str, str, int]:
        """Medium, address and time of a validated session. ``getValidated3pidV2``."""
        query = urlencode({"sid": sid, "client_secret": client_secret})
        answer = await self._ask(id_server, "GET", f"/3pid/getValidated3pid?{query}", token)
        medium, address = _text(answer, "medium"), _text(answer, "address")
        validated_ts = answer.get("validated_at")
        if (
            not isinstance(validated_ts, int)
            or isinstance(validated_ts, bool)
            or not 0 < validated_ts < 2**53
        ):
            raise _nonsense()
        return medium, address, validated_ts

    async def bind(self, id_server: str, token: str, sid: str, client_secret: str, user_id: str) -> Binding:
        """``bindV2``."""
        body = {"sid": sid, "client_secret": client_secret, "mxid": user_id}
        answer = await self._ask(id_server, "POST", "/3pid/bind", token, body)
        if answer.get("mxid") != user_id:
            raise _nonsense()
        return Binding(_text(answer, "medium"), _text(answer, "address"), id_server)

    async def unbind(self, user_id: str, binding: Binding) -> None:
        """``unbindV2``, signed by this server; `UnbindUnsupported`, or the error of the identity server."""
        uri = f"{V2}/3pid/unbind"
        body = {
            "mxid": user_id,
            "threepid": {"medium": binding.medium, "address": binding.address},
        }
        signed = self._wire.sign("POST", uri, binding.id_server, body)
        reply = await self._send(binding.id_server, "POST", uri, signed, body)
        if reply.status in UNSUPPORTED and _matrix_error(reply) is None:
            raise UnbindUnsupported("The identity server does not unbind")
        _checked(reply)

    async def lookup(self, id_server: str, token: str, medium: str, address: str) -> str | None:
        """The user whose address it is. ``getHashDetails``, ``lookupUsersV2``."""
        for again in (True, False):
            details = await self._ask(id_server, "GET", "/hash_details", token)
            pepper, algorithms = _text(details, "lookup_pepper"), details.get("algorithms")
            if not isinstance(algorithms, list) or "sha256" not in algorithms:
                raise _nonsense()
            hashed = _hash(medium, address, pepper)
            body = {"algorithm": "sha256", "pepper": pepper, "addresses": [hashed]}
            try:
                answer = await self._ask(id_server, "POST", "/lookup", token, body)
            except MatrixError as error:
                # The pepper was changed between the two: once is enough.
                if error.errcode != "M_INVALID_PEPPER" or not again:
                    raise
                continue
            mappings = answer.get("mappings")
            found = mappings.get(hashed) if isinstance(mappings, dict) else None
            if found is not None and not is_user_id(found):
                raise _nonsense()
            return found
        raise AssertionError("the second time raises or returns")

    async def store_invite(self, id_server: str, token: str, invite: Mapping[str, str]) -> tuple[str, Json]:
        """The token of the stored invite, and the content of its m.room.third_party_invite.
        ``storeInviteV2``.
        """
        answer = await self._ask(id_server, "POST", "/store-invite", token, invite)
        invite_token, name = _text(answer, "token"), _text(answer, "display_name")
        keys = answer.get("public_keys")
        if not _TOKEN.fullmatch(invite_token) or not isinstance(keys, list) or not 0 < len(keys) <= 10:
            raise _nonsense()
        public_keys = [
            {name: _text(key, name) for name in ("public_key", "key_validity_url")}
            for key in map(_object, keys)
        ]
        return invite_token, {"display_name": name, **public_keys[0], "public_keys": public_keys}

    async def is_valid(self, key_validity_url: str, public_key: str) -> bool:
        """Whether the key is still good, by the address that the invitation gives. ``isPubKeyValidV2``."""
        try:
            parts = urlsplit(key_validity_url)
        except ValueError:
            raise ServerNotTrusted from None
        self.require_trusted(parts.netloc)
        target = f"{parts.path}?{urlencode({'public_key': public_key})}"
        reply = await self._send(parts.netloc, "GET", target)
        return _checked(reply).get("valid") is True

    async def _ask(
        self, id_server: str, method: str, path: str, token: str, body: Mapping[str, Any] | None = None
    ) -> Json:
        return _checked(await self._send(id_server, method, V2 + path, f"Bearer {quote(token)}", body))

    async def _send(
        self,
        id_server: str,
        method: str,
        target: str,
        authorization: str | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Reply:
        self.require_trusted(id_server)
        headers = {"accept": "application/json"}
        if authorization is not None:
            headers["authorization"] = authorization
        if body is not None:
            headers["content-type"] = "application/json"
        try:
            return await self._wire.client.request(
                method,
                f"https://{id_server}{target}",
                body=None if body is None else encode(body),
                headers=headers,
                timeout=self._timeout,
            )
        except RemoteFault as fault:
            raise MatrixError(502, "M_UNKNOWN", f"The identity server: {fault.message}") from fault


def _hash(medium: str, address: str, pepper: str) -> str:
    digest = sha256(f"{address} {medium} {pepper}".encode()).digest()
    return urlsafe_b64encode(digest).rstrip(b"=").decode()


def _checked(reply: Reply) -> Json:
    """The object of a good answer; else the error, as it may be passed on."""
    if reply.status == 200:
        return _object(_parsed(reply))
    error = _matrix_error(reply)
    if error is None or not 400 <= reply.status < 500:
        raise _nonsense()
    errcode, message = error
    if errcode in _ABOUT_OUR_SESSION:
        errcode = "M_UNAUTHORIZED"
    # A 401 would end the client's session here.
    status = 403 if reply.status == 401 else reply.status
    raise MatrixError(status, errcode, f"The identity server: {message}")


def _matrix_error(reply: Reply) -> tuple[str, str] | None:
    parsed = _parsed(reply)
    if not isinstance(parsed, dict):
        return None
    errcode, message = parsed.get("errcode"), parsed.get("error", "")
    if not isinstance(errcode, str) or not _ERRCODE.fullmatch(errcode) or not isinstance(message, str):
        return None
    return errcode, message[:500]


def _parsed(reply: Reply) -> Any:
    try:
        return orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        return None


def _object(value: Any) -> Json:
    if not isinstance(value, dict):
        raise _nonsense()
    return value


def _text(answer: Mapping[str, Any], name: str) -> str:
    value = answer.get(name)
    if not isinstance(value, str) or not value or len(value) > 2_000 or "\0" in value:
        raise _nonsense()
    return value


def _nonsense() -> MatrixError:
    return MatrixError(502, "M_UNKNOWN", "The identity server: its answer makes no sense")
