"""The public face. (Signatures first: the features below are being filled in, each in a module of its own.)"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from plexus.platform.context import Platform
    from plexus.platform.http import Requester


class Users:
    """Everything keyed by a user. One a process, made over a `Platform`; ``start`` before use, ``stop`` at the end."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform

    async def start(self) -> None:
        raise NotImplementedError

    async def stop(self) -> None:
        raise NotImplementedError

    # Accounts
    async def register(
        self,
        localpart: str | None,
        password: str | None,
        *,
        guest: bool = False,
        admin: bool = False,
        device: NewDevice | None = None,
        registration_token: str | None = None,
    ) -> tuple[str, Session | None]:
        """(user id, session or None). `UserInUse`, `InvalidUsername`, `WeakPassword`, `Forbidden` (token used up)."""
        raise NotImplementedError

    async def check_available(self, localpart: str) -> str:
        """The user id it would have; `UserInUse` or `InvalidUsername`."""
        raise NotImplementedError

    async def account(self, user_id: str) -> Account | None:
        raise NotImplementedError

    async def check_password(self, user: str, password: str, *, address: str | None = None) -> Account:
        """By user id or localpart, throttled by account and address. `Forbidden`, `UserDeactivated`, `LimitExceeded`."""
        raise NotImplementedError

    async def change_password(
        self, user_id: str, password: str, *, keep_device: str | None = None, logout_devices: bool = True
    ) -> None:
        raise NotImplementedError

    async def deactivate(self, user_id: str, *, erase: bool = False) -> bool:
        """False if there is no such account, or it was already deactivated."""
        raise NotImplementedError

    # Sessions
    async def login_password(
        self, user: str, password: str, device: NewDevice, *, address: str | None = None
    ) -> Session:
        raise NotImplementedError

    async def open_session(self, user_id: str, device: NewDevice) -> Session:
        raise NotImplementedError

    async def refresh(self, refresh_token: str) -> Session:
        raise NotImplementedError

    async def authenticate(self, token: str, address: str | None = None) -> Requester:
        """Who holds this access token; `UnknownToken` (``soft_logout`` when it has expired). A dict hit when warm."""
        raise NotImplementedError

    async def logout(self, user_id: str, device_id: str) -> None:
        raise NotImplementedError

    async def logout_all(self, user_id: str) -> None:
        raise NotImplementedError

    # Devices
    async def devices(self, user_id: str) -> list[Device]:
        raise NotImplementedError

    async def device(self, user_id: str, device_id: str) -> Device | None:
        raise NotImplementedError

    async def rename_device(self, user_id: str, device_id: str, display_name: str) -> bool:
        raise NotImplementedError

    async def delete_devices(self, user_id: str, device_ids: Sequence[str]) -> list[str]:
        raise NotImplementedError

    # Account data
    async def account_data(self, user_id: str, type: str, room_id: str = "") -> bytes | None:
        raise NotImplementedError

    async def set_account_data(
        self, user_id: str, type: str, content: Mapping[str, Any], room_id: str = ""
    ) -> int:
        """The position of the change in the user's lane."""
        raise NotImplementedError

    async def account_data_all(self, user_id: str) -> list[AccountData]:
        """All of it, global ``m.push_rules`` included: what an initial sync sends."""
        raise NotImplementedError

    async def sync_changes(self, user_id: str, after: int, upto: int) -> UserChanges:
        raise NotImplementedError

    # Profiles
    async def profile(self, user_id: str) -> Profile | None:
        raise NotImplementedError

    async def profiles(self, user_ids: Iterable[str]) -> dict[str, Profile]:
        raise NotImplementedError

    async def set_profile_field(self, user_id: str, field: str, value: Any) -> None:
        raise NotImplementedError

    async def delete_profile_field(self, user_id: str, field: str) -> None:
        raise NotImplementedError

    async def claim_room_tasks(self, limit: int = 10) -> list[RoomTask]:
        raise NotImplementedError

    async def finish_room_task(self, task: RoomTask) -> bool:
        raise NotImplementedError

    # Filters
    async def put_filter(self, user_id: str, definition: Mapping[str, Any]) -> str:
        raise NotImplementedError

    async def filter(self, user_id: str, filter_id: str) -> bytes | None:
        """The JSON of a stored filter; filters never change, so it is cached in the process."""
        raise NotImplementedError

    # Push rules
    async def push_rules(self, user_id: str) -> dict[str, Any]:
        """``{"global": {"override": [...], ...}}``: the defaults with the user's changes."""
        raise NotImplementedError

    # Keys
    async def upload_keys(
        self,
        user_id: str,
        device_id: str,
        device_keys: bytes | None,
        one_time: Sequence[OneTimeKey],
        fallback: Sequence[OneTimeKey],
    ) -> dict[str, int]:
        raise NotImplementedError

    async def query_keys(self, wanted: Mapping[str, Sequence[str]]) -> dict[str, dict[str, dict[str, Any]]]:
        raise NotImplementedError

    async def claim_keys(self, wanted: Sequence[tuple[str, str, str]]) -> dict[tuple[str, str], OneTimeKey]:
        raise NotImplementedError

    async def key_counts(self, user_id: str, device_id: str) -> KeyCounts:
        raise NotImplementedError

    async def device_list_changes(self, after: Sequence[int], upto: Sequence[int]) -> set[str] | None:
        """Users whose DEVICE_LIST changed within the user lanes' ranges; None when facts that old are gone."""
        raise NotImplementedError

    # Inbox
    async def put_messages(
        self, sender: str, type: str, contents: Mapping[str, Mapping[str, Mapping[str, Any]]]
    ) -> None:
        raise NotImplementedError

    async def inbox(
        self, user_id: str, device_id: str, after: int, upto: int, limit: int = 100
    ) -> list[ToDeviceMessage]:
        raise NotImplementedError

    async def inbox_delete(self, user_id: str, device_id: str, upto: int) -> None:
        raise NotImplementedError
