"""Everything keyed by a user: accounts, devices, tokens, account data, profiles, filters, push rules, keys, inbox."""

from plexus.users.models import (
    Account,
    AccountData,
    Device,
    KeyCounts,
    NewDevice,
    OneTimeKey,
    Profile,
    RoomTask,
    Session,
    ToDeviceMessage,
    UserChanges,
)
from plexus.users.users import Users

__all__ = [
    "Account",
    "AccountData",
    "Device",
    "KeyCounts",
    "NewDevice",
    "OneTimeKey",
    "Profile",
    "RoomTask",
    "Session",
    "ToDeviceMessage",
    "UserChanges",
    "Users",
]
