"""What a check is given: the event, the room's state, and answers that several checks need."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias

from plexus.protocol.errors import AuthRejected
from plexus.protocol.power_levels import PowerLevels
from plexus.protocol.room_versions import RoomVersion


class AuthEvent(Protocol):
    """What the rules read of an event; `Event` and `Draft` both have it."""

    @property
    def type(self) -> str: ...
    @property
    def state_key(self) -> str | None: ...
    @property
    def sender(self) -> str: ...
    @property
    def content(self) -> Mapping[str, Any]: ...
    @property
    def room_id(self) -> str | None: ...
    @property
    def prev_events(self) -> tuple[str, ...]: ...
    @property
    def event_id(self) -> str | None: ...
    @property
    def redacts(self) -> str | None: ...


class NamedEvent(AuthEvent, Protocol):
    """An event that has its ID already."""

    @property
    def event_id(self) -> str: ...


StateLookup: TypeAlias = Callable[[str, str], AuthEvent | None]
"""(type, state key) to the event that holds that place in the state judged against, or None."""


def refusal(version: RoomVersion, name: str, why: str) -> AuthRejected:
    """The refusal by a rule known by its name (``rule_numbers``), with its number in this version."""
    return AuthRejected(version.auth.numbers[name], why, name)


class Context:
    """One event under judgement. Nothing is looked up before a check asks for it."""

    __slots__ = ("_power", "create", "event", "state", "version")

    def __init__(
        self, version: RoomVersion, event: AuthEvent, state: StateLookup, create: NamedEvent
    ) -> None:
        self.version = version
        self.event = event
        self.state = state
        self.create = create
        self._power: PowerLevels | None = None

    def refusal(self, name: str, why: str) -> AuthRejected:
        """To be raised by the rule of this name."""
        return refusal(self.version, name, why)

    @property
    def power(self) -> PowerLevels:
        """The power levels before the event."""
        if self._power is None:
            current = self.state("m.room.power_levels", "")
            self._power = PowerLevels.of(
                self.version, None if current is None else current.content, self.create
            )
        return self._power

    @property
    def sender_level(self) -> int:
        return self.power.user_level(self.event.sender)

    def membership(self, user_id: str) -> str | None:
        """The user's current membership; None if there is none."""
        event = self.state("m.room.member", user_id)
        membership = None if event is None else event.content.get("membership")
        return membership if isinstance(membership, str) else None

    @property
    def join_rule(self) -> str:
        """The join rule in force; without one a room is for the invited. What is no string is no rule."""
        event = self.state("m.room.join_rules", "")
        rule = "invite" if event is None else event.content.get("join_rule", "invite")
        return rule if isinstance(rule, str) else ""


Check: TypeAlias = Callable[[Context], bool]
"""True allows the event and ends the list; False has nothing against it; `AuthRejected` rejects it."""
