"""Requests that change a membership."""

from __future__ import annotations

from typing import Annotated

from plexus.client_api.params import USER_ID_SCHEMA, check_name
from plexus.client_api.threepids.models import AccessToken, IdServer, ThirdPartyAddress
from plexus.platform.http import Body
from plexus.protocol.errors import MissingParam
from plexus.protocol.identifiers import check_user_id
from pydantic import AfterValidator, Field, WithJsonSchema

UserId = Annotated[str, AfterValidator(check_user_id), WithJsonSchema(USER_ID_SCHEMA)]


class Reasoned(Body):
    """A change with an optional reason."""

    reason: str | None = None


class ThirdPartySigned(Body):
    """That the identity server has found an invited address to be this user's. All of it is signed."""

    sender: UserId
    mxid: UserId
    token: Annotated[str, AfterValidator(check_name)]
    signatures: dict[str, dict[str, str]]


class Join(Reasoned):
    third_party_signed: ThirdPartySigned | None = None


class Targeted(Reasoned):
    """A change of another user's membership."""

    user_id: UserId


class Invite3pid(Body):
    """An address, and who is to be asked whose it is."""

    id_server: IdServer
    id_access_token: AccessToken
    medium: str = Field(min_length=1, max_length=255)
    address: ThirdPartyAddress

    @property
    def normal_address(self) -> str:
        """As it is compared. Appendices, "3PID Types"."""
        return self.address.lower() if self.medium == "email" else self.address


class Invite(Reasoned):
    """By user ID (``inviteUser``) or by third-party identifier (``inviteBy3PID``): one path, two bodies."""

    user_id: UserId | None = None
    id_server: IdServer | None = None
    id_access_token: AccessToken | None = None
    medium: str | None = None
    address: ThirdPartyAddress | None = None

    @property
    def third_party(self) -> Invite3pid | None:
        """Of the second kind, if it is that; `MissingParam` if it is not whole."""
        given = {name: getattr(self, name) for name in Invite3pid.model_fields}
        if self.user_id is not None or all(value is None for value in given.values()):
            return None
        for name, value in given.items():
            if value is None:
                raise MissingParam(f"{name} is missing")
        return Invite3pid(**given)
