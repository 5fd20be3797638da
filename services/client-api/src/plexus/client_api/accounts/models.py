"""Requests about accounts and sessions."""

from __future__ import annotations

from typing import Annotated, Any

from plexus.platform.http import Body
from plexus.protocol.errors import InvalidParam
from plexus.protocol.identifiers import check_server_name, is_device_id
from plexus.users import NewDevice
from pydantic import AfterValidator, Field

MAX_NAME = 255
"""Characters of a device's name."""


def _check_device_id(device_id: str | None) -> str | None:
    if device_id is not None and not is_device_id(device_id):
        raise InvalidParam("Not a device ID")
    return device_id


def _storable(text: str | None) -> str | None:
    if text is not None and "\0" in text:
        raise InvalidParam("A NUL cannot stand here")
    return text


DeviceId = Annotated[str | None, AfterValidator(_check_device_id)]
Name = Annotated[str | None, Field(max_length=MAX_NAME), AfterValidator(_storable)]
Auth = Annotated[dict[str, Any] | None, Field(description="User-interactive authentication.")]


class WithDevice(Body):
    """What a request says of the device that it is for."""

    device_id: DeviceId = None
    initial_device_display_name: Name = None
    refresh_token: bool = False

    def new_device(self) -> NewDevice:
        return NewDevice(self.device_id, self.initial_device_display_name, self.refresh_token)


class Registration(WithDevice):
    auth: Auth = None
    username: Annotated[str | None, AfterValidator(_storable)] = None
    password: str | None = None
    inhibit_login: bool = False
    guest_access_token: str | None = None


class Login(WithDevice):
    type: str
    identifier: dict[str, Any] | None = None
    user: str | None = None
    password: str | None = None
    token: str | None = None


class Refresh(Body):
    refresh_token: str


class PasswordChange(Body):
    auth: Auth = None
    new_password: str
    logout_devices: bool = True


class LoginTokenRequest(Body):
    auth: Auth = None


class Deactivation(Body):
    auth: Auth = None
    id_server: Annotated[str, AfterValidator(check_server_name)] | None = None
    erase: bool = False


class SharedSecretRegistration(Body):
    """As Synapse's tools send it."""

    nonce: str
    username: Annotated[str, AfterValidator(_storable)]
    password: str
    mac: str
    admin: bool = False
    user_type: str | None = None
    displayname: Annotated[str | None, AfterValidator(_storable)] = None
    inhibit_login: bool = False
