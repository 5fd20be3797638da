"""How one gets to register: the flows by the settings, and the stages that are registration's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from plexus.client_api.deps import ClientApi
from plexus.client_api.threepids.stages import email_stage
from plexus.platform.settings import TermsPolicy
from plexus.protocol.errors import Forbidden, ThreepidInUse
from plexus.users.uia import (
    DUMMY,
    EMAIL,
    REGISTRATION_TOKEN,
    TERMS,
    Stage,
    Uia,
    dummy_stage,
    text_of,
)


def token_stage(api: ClientApi) -> Stage:
    """``m.login.registration_token``: gives the token."""

    async def stage(auth: Mapping[str, Any]) -> str:
        token = text_of(auth, "token")
        if "\0" in token or not await api.users.registration_token_is_valid(token):
            raise Forbidden("The registration token is not valid")
        return token

    return stage


def terms_of(api: ClientApi) -> dict[str, str]:
    """What ``m.login.terms`` gives: the version of each policy that was accepted."""
    return {policy.id: policy.version for policy in api.platform.settings.registration.terms}


def _terms_params(terms: Sequence[TermsPolicy]) -> dict[str, Any]:
    """The parameters of the stage, as Client-Server API, "Terms of service at registration" shows them."""
    policies = {}
    for policy in terms:
        texts = {language: text.model_dump() for language, text in policy.languages.items()}
        policies[policy.id] = {"version": policy.version, **texts}
    return {"policies": policies}


def registration_flows(api: ClientApi, mode: str) -> Uia:
    """Terms first, then an email address if there is to be one, then what the mode asks."""
    registration = api.platform.settings.registration

    async def terms_stage(auth: Mapping[str, Any]) -> dict[str, str]:
        return terms_of(api)

    async def new_email_stage(auth: Mapping[str, Any]) -> Any:
        found = await email_stage(api, "register")(auth)
        if await api.users.user_of_email(found["email"]) is not None:
            raise ThreepidInUse
        return found

    terms = (TERMS,) if registration.terms else ()
    token = (REGISTRATION_TOKEN,) if mode == "token" else ()
    flows: list[tuple[str, ...]] = []
    if not registration.require_email:
        flows.append((*terms, *token) or (DUMMY,))
    if api.platform.settings.email.enabled:
        flows.append((*terms, EMAIL, *token))
    stages = {
        TERMS: terms_stage,
        EMAIL: new_email_stage,
        REGISTRATION_TOKEN: token_stage(api),
        DUMMY: dummy_stage,
    }
    params = {TERMS: _terms_params(registration.terms)} if registration.terms else {}
    return Uia("register", "", flows, stages, params)
