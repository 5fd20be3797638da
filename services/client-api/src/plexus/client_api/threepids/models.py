"""Requests about email addresses."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from plexus.platform.http import Body
from plexus.protocol.errors import InvalidParam
from plexus.protocol.identifiers import check_server_name
from pydantic import AfterValidator, Field

_OPAQUE = re.compile(r"[0-9a-zA-Z.=_-]{1,255}", re.ASCII)
_EMAIL = re.compile(
    r"[a-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[a-z0-9](?:[a-z0-9-]{0,62})(?:\.[a-z0-9](?:[a-z0-9-]{0,62}))*",
    re.ASCII,
)
_ACCESS_TOKEN = re.compile(r"[!-~]{1,2000}", re.ASCII)
_LINK = re.compile(r"https?://[!-~]{1,2000}", re.ASCII)


def check_opaque(text: str) -> str:
    """A client secret or session ID."""
    if not _OPAQUE.fullmatch(text):
        raise InvalidParam("A client_secret or sid is made of 1 to 255 of 0-9 a-z A-Z . = _ -")
    return text


def check_email(text: str) -> str:
    """The address in small letters, as it is compared. Appendices, "3PID Types"."""
    email = text.lower()
    if len(email) > 254 or not _EMAIL.fullmatch(email):
        raise InvalidParam("Not an email address")
    return email


def _check_link(text: str | None) -> str | None:
    if text is not None and not _LINK.fullmatch(text):
        raise InvalidParam("next_link must be an http or https address")
    return text


def _check_address(text: str) -> str:
    if "\0" in text or len(text) > 255:
        raise InvalidParam("Not an address")
    return text


def _check_access_token(text: str) -> str:
    if not _ACCESS_TOKEN.fullmatch(text):
        raise InvalidParam("Not an access token of an identity server")
    return text


Opaque = Annotated[str, AfterValidator(check_opaque)]
IdServer = Annotated[str, AfterValidator(check_server_name)]
ThirdPartyAddress = Annotated[str, AfterValidator(_check_address)]
AccessToken = Annotated[str, AfterValidator(_check_access_token)]


class EmailTokenRequest(Body):
    client_secret: Opaque
    email: Annotated[str, AfterValidator(check_email)]
    send_attempt: Annotated[int, Field(ge=0, lt=2**53)]
    next_link: Annotated[str | None, AfterValidator(_check_link)] = None


class MsisdnTokenRequest(Body):
    client_secret: Opaque
    country: str
    phone_number: str
    send_attempt: int


class Addition(Body):
    auth: Annotated[dict[str, Any] | None, Field(description="User-interactive authentication.")] = None
    client_secret: Opaque
    sid: Opaque


class Removal(Body):
    id_server: IdServer | None = None
    medium: Literal["email", "msisdn"]
    address: ThirdPartyAddress


class ThreePidCreds(Body):
    """A session of an identity server."""

    client_secret: Opaque
    id_server: IdServer
    id_access_token: AccessToken
    sid: Opaque


class Binding(ThreePidCreds):
    """``bind3PID``: the same, without a name of its own."""


class ValidatedAddition(Body):
    three_pid_creds: ThreePidCreds
