"""What belongs to one device: its inbox and the counts of its keys.

A message is in the answer that the device gets until it comes back with the token of that answer: only then
it is deleted. So an answer that is lost costs nothing. No answer has messages beyond its cut. So when a new
generation cuts the token back, the place in the inbox goes back with it: what was given a lost message's
sequence is told, and not taken for delivered.

Client-Server API, "Send-to-Device messaging"; "Extensions to /sync" of end-to-end encryption.
"""

from __future__ import annotations

import orjson
from plexus.platform.lanes import UserFact
from plexus.sync.replica.views import DeviceState
from plexus.sync.streams.context import Answer
from plexus.sync.streams.user_facts import UserFacts
from plexus.users import Users

MESSAGES = 100
"""Messages in one answer; what is more comes with the next."""

_TO_DEVICE = frozenset({int(UserFact.TO_DEVICE)})
_EVERYTHING = 2**62


class DeviceStream:
    def __init__(self, users: Users) -> None:
        self._users = users

    async def add(self, answer: Answer, facts: UserFacts | None) -> None:
        """Add messages and counts for the device; ``facts`` is None for an initial sync."""
        await self.add_messages(answer, facts)
        await self.add_counts(answer, facts)

    async def add_messages(self, answer: Answer, facts: UserFacts | None, limit: int = MESSAGES) -> None:
        """Delete what the device has acknowledged, and add what it has not."""
        if answer.device_id is not None:
            told = facts is None or facts.any_of(_TO_DEVICE)
            device = answer.view.device(answer.device_id)
            await self._add_messages(answer, answer.device_id, device, told, min(limit, MESSAGES))

    async def add_counts(self, answer: Answer, facts: UserFacts | None) -> None:
        """Add how many keys the device has left here."""
        if answer.device_id is None:
            return
        device = answer.view.device(answer.device_id)
        beyond = facts is not None and facts.kinds is None
        if device.key_counts is None or device.key_counts_stale or beyond:
            await self._read_counts(answer.user_id, answer.device_id, device)
        answer.key_counts = device.key_counts or b""
        answer.key_counts_changed = facts is not None and not beyond and facts.key_counts_of(answer.device_id)

    async def _read_counts(self, user_id: str, device_id: str, device: DeviceState) -> None:
        changes = device.key_changes
        counts = await self._users.key_counts(user_id, device_id)
        # Clients take a missing count as unknown rather than as zero, and upload no keys then.
        one_time = {"signed_curve25519": 0} | counts.one_time
        device.key_counts = b',"device_one_time_keys_count":%b,"device_unused_fallback_key_types":%b' % (
            orjson.dumps(one_time),
            orjson.dumps(counts.unused_fallback_types),
        )
        device.key_counts_stale = changes != device.key_changes

    async def _add_messages(
        self, answer: Answer, device_id: str, device: DeviceState, told: bool, limit: int
    ) -> None:
        sequence = answer.to_device
        if sequence > device.acknowledged:
            # A process that still follows the old generation may be asked when the new one has messages.
            await self._users.inbox_delete(answer.user_id, device_id, sequence, answer.cut.generation)
            device.acknowledged = sequence
        if device.inbox_empty and not told:
            return
        device.inbox_looks += 1
        look = device.inbox_looks
        messages = await self._users.inbox(answer.user_id, device_id, sequence, _EVERYTHING, limit)
        # The inbox stays marked as not empty until an answer to the newest token finds it so, and the newest
        # look: an older one may have missed what a newer one has found.
        device.inbox_empty = not messages and look == device.inbox_looks
        upto = answer.cut.users[answer.view.lane]
        for message in messages:
            if message.sequence > upto:
                break
            answer.messages.append(message.event)
            answer.to_device = message.sequence
