"""User-interactive authentication.

1. An endpoint says which flows it offers and how each stage is checked (`Stage`).
2. `authenticate` returns what the stages found once all stages of a flow are completed; until then it raises
   `UiaRequired`, which is the 401 that tells the client what is left.
3. Completed stages are kept between requests, and count for the same request only: who got through a stage to
   delete one device cannot use it to delete another.

Client-Server API, "User-Interactive Authentication API".
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final, Protocol

import orjson
from plexus.protocol.errors import BadJson, Forbidden, MatrixError, MissingParam
from plexus.users.uia_sessions import UiaSession

DUMMY: Final = "m.login.dummy"
PASSWORD: Final = "m.login.password"  # noqa: S105 - the name of a stage
TOKEN: Final = "m.login.token"  # noqa: S105 - a way to log in, and no stage
TERMS: Final = "m.login.terms"
EMAIL: Final = "m.login.email.identity"
REGISTRATION_TOKEN: Final = "m.login.registration_token"  # noqa: S105 - likewise

Flow = tuple[str, ...]
Stage = Callable[[Mapping[str, Any]], Awaitable[Any]]
"""Checks one ``auth`` object; what it found, as JSON. `Forbidden` if the attempt failed."""


class UiaSessions(Protocol):
    """What is kept between stages: `plexus.users.uia_sessions.UiaSessionStore`."""

    async def uia_session(self, session_id: str, request: bytes) -> UiaSession: ...

    async def complete_uia_stage(
        self, session_id: str, request: bytes, stage: str, result: Any
    ) -> UiaSession: ...

    async def end_uia_session(self, session_id: str) -> None: ...


class UiaRequired(MatrixError):  # noqa: N818 - a demand more than an error
    """401: there are stages left. With ``failure``, the last attempt failed and may be repeated."""

    def __init__(self, info: Mapping[str, Any], failure: MatrixError | None = None) -> None:
        super().__init__(
            401,
            "" if failure is None else failure.errcode,
            "User-interactive authentication is required" if failure is None else failure.message,
            info,
        )
        self.failure = failure

    def body(self) -> dict[str, Any]:
        # The first answer is no error: it carries no errcode, and clients tell the two apart by that.
        return dict(self.extra) if self.failure is None else super().body()


@dataclass(frozen=True, slots=True)
class Uia:
    """What one endpoint demands: ``operation`` is its ``operationId``, ``subject`` the user."""

    operation: str
    subject: str
    flows: Sequence[Flow]
    stages: Mapping[str, Stage]
    params: Mapping[str, Any] = field(default_factory=dict)


async def authenticate(
    store: UiaSessions, uia: Uia, request: Mapping[str, Any], *, target: str = ""
) -> Mapping[str, Any]:
    """The results by stage, when a flow is completed.

    ``request`` is the whole body, with ``auth``; ``target`` what the path names beside it. `UiaRequired`, and
    `BadJson` or `MissingParam` for an ``auth`` that makes no sense.
    """
    auth = request.get("auth")
    if auth is None:
        raise UiaRequired(_info(uia, secrets.token_urlsafe(18), ()))
    if not isinstance(auth, Mapping):
        raise BadJson("auth must be an object")
    given = auth.get("session")
    if given is not None and not is_session_id(given):
        raise BadJson("auth.session is not one of ours")
    session_id = given or secrets.token_urlsafe(18)
    purpose = _purpose(uia, request, target)
    session = await store.uia_session(session_id, purpose) if given else None
    completed = session.completed if session is not None else ()
    results = dict(session.results) if session is not None else {}

    stage = auth.get("type")
    if stage is not None and stage not in completed:
        if not isinstance(stage, str):
            raise BadJson("auth.type must be a string")
        if not any(_next(flow, completed) == stage for flow in uia.flows):
            failure = Forbidden(f"{stage} is not the next stage of a flow")
            raise UiaRequired(_info(uia, session_id, completed), failure)
        try:
            result = await uia.stages[stage](auth)
        except Forbidden as failure:
            raise UiaRequired(_info(uia, session_id, completed), failure) from None
        completed, results = (*completed, stage), {**results, stage: result}
        if not _is_complete(uia, completed):
            session = await store.complete_uia_stage(session_id, purpose, stage, result)
            completed, results = session.completed, dict(session.results)
    if not _is_complete(uia, completed):
        raise UiaRequired(_info(uia, session_id, completed))
    if len(completed) > 1 or (session is not None and session.completed):
        await store.end_uia_session(session_id)
    return results


def is_session_id(given: object) -> bool:
    """Whether this may name a session."""
    return isinstance(given, str) and given.isascii() and given.isprintable() and 0 < len(given) <= 64


def text_of(auth: Mapping[str, Any], name: str) -> str:
    """A string member of ``auth``; `MissingParam` or `BadJson`."""
    if name not in auth:
        raise MissingParam(f"auth.{name} is missing")
    value = auth[name]
    if not isinstance(value, str):
        raise BadJson(f"auth.{name} must be a string")
    return value


def user_of(auth: Mapping[str, Any]) -> str:
    """The user (ID or localpart) that an ``auth`` object or a login names; "" for kinds of identifier that we
    do not know. "Identifier types", and the deprecated member ``user``.
    """
    identifier = auth.get("identifier")
    if identifier is None:
        return text_of(auth, "user")
    if not isinstance(identifier, Mapping):
        raise BadJson("identifier must be an object")
    if identifier.get("type") != "m.id.user":
        return ""
    user = identifier.get("user")
    if not isinstance(user, str):
        raise BadJson("identifier.user must be a string")
    return user


async def dummy_stage(auth: Mapping[str, Any]) -> bool:
    """``m.login.dummy``: nothing to show."""
    return True


def _info(uia: Uia, session_id: str, completed: Sequence[str]) -> dict[str, Any]:
    info: dict[str, Any] = {
        "session": session_id,
        "flows": [{"stages": list(flow)} for flow in uia.flows],
        "params": dict(uia.params),
    }
    if completed:
        info["completed"] = list(completed)
    return info


def _next(flow: Flow, completed: Sequence[str]) -> str | None:
    """The stage of the flow that comes after what is completed; None if what is completed leads elsewhere."""
    if tuple(completed) != flow[: len(completed)] or len(completed) >= len(flow):
        return None
    return flow[len(completed)]


def _is_complete(uia: Uia, completed: Sequence[str]) -> bool:
    return any(tuple(completed) == flow for flow in uia.flows)


def _purpose(uia: Uia, request: Mapping[str, Any], target: str) -> bytes:
    rest = {name: value for name, value in request.items() if name != "auth"}
    return sha256(
        orjson.dumps([uia.operation, uia.subject, target, rest], option=orjson.OPT_SORT_KEYS)
    ).digest()
