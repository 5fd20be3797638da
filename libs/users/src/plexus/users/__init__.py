"""Everything keyed by a user: accounts, devices, tokens, account data, profiles, filters, push rules, keys,
inbox.

`Users` is the only writer of these tables. How a change is made:

1. Check and hash outside of any transaction.
2. One call of a function in PostgreSQL, which is one transaction in the user's lane. What was to be expected
   (a name taken, a device gone, another writer first) comes back as a result. Where somebody must be told,
   the function appends facts to the lane as the last thing it does.
3. Publish the facts, drop what the process remembers of revoked tokens, leave the user's mark; then answer.

It knows nothing of rooms. What a change owes to a user's rooms (a new name, a leave) is left as a `RoomTask`,
written in the same transaction, for a service to do.
"""

from plexus.users.contact import NO_RULES, ContactRules
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
    ThreadSubscription,
    ToDeviceMessage,
    UserChanges,
)
from plexus.users.passwords import check_password_policy
from plexus.users.pushers import Pusher, UserPushers
from plexus.users.thread_subscriptions import ThreadSubscriptions
from plexus.users.threepids import Binding
from plexus.users.token_cache import Watch
from plexus.users.users import Users

__all__ = [
    "NO_RULES",
    "Account",
    "AccountData",
    "Binding",
    "ContactRules",
    "Device",
    "KeyCounts",
    "NewDevice",
    "OneTimeKey",
    "Profile",
    "Pusher",
    "RoomTask",
    "Session",
    "ThreadSubscription",
    "ThreadSubscriptions",
    "ToDeviceMessage",
    "UserChanges",
    "UserPushers",
    "Users",
    "Watch",
    "check_password_policy",
]
