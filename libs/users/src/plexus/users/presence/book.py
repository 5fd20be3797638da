"""The leases of devices, and what they make of a user. No I/O; time is a parameter, in seconds."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import inf
from typing import Final, NamedTuple

OFFLINE: Final = 0
UNAVAILABLE: Final = 1
ONLINE: Final = 2

STATES: Final = {"offline": OFFLINE, "unavailable": UNAVAILABLE, "online": ONLINE}
STATE_NAMES: Final = ("offline", "unavailable", "online")

PRESUMED: Final = "\0"
"""The device of who is taken to be there; the first that says so itself takes its place."""

MOST_PERSONS = 100_000
"""Users that are remembered; with more, those who are offline are forgotten, oldest first."""


class Shown(NamedTuple):
    """What others see. A change of it is worth telling."""

    state: int
    status_msg: str | None


@dataclass(slots=True)
class _Device:
    """``leases``: until when, by the process that says so. The state is the last that anybody said; who said
    ``unavailable`` and is online since their user did something is ``woken``.
    """

    state: int
    leases: dict[str, float] = field(default_factory=dict)
    woken: bool = False


NOBODY: Final = Shown(OFFLINE, None)


@dataclass(slots=True)
class _Person:
    active: float
    status_msg: str | None = None
    status_ts: int = 0
    devices: dict[str, _Device] = field(default_factory=dict)
    shown: Shown = NOBODY
    due: float = inf


class PresenceBook:
    """``on_change`` is told of a user who is shown otherwise than before, ``on_end`` of a lease that is over:
    (user, device, process).
    """

    def __init__(
        self,
        idle: float,
        on_change: Callable[[str], None],
        on_end: Callable[[str, str, str], None],
        most: int = MOST_PERSONS,
    ) -> None:
        self._idle = idle
        self._on_change = on_change
        self._on_end = on_end
        self._most = most
        self._persons: dict[str, _Person] = {}
        self._queue: list[tuple[float, str]] = []

    def lease(self, user_id: str, device: str, process: str, state: int, until: float, now: float) -> None:
        """A device is there, in this state, until then. Coming online is an activity."""
        person = self._person(user_id, now)
        person.devices.pop(PRESUMED, None)
        known = person.devices.get(device)
        if state == ONLINE and (known is None or known.state != ONLINE):
            person.active = now
        if known is None:
            known = person.devices[device] = _Device(state)
        known.state = state
        known.woken &= state == ONLINE
        known.leases[process] = until
        self._settle(user_id, person, now)

    def presume(self, user_id: str, process: str, until: float, active: float, now: float) -> None:
        """Somebody was there before we began: take them to be until then, without telling anybody. Minus
        infinity if it is not known when they were active.
        """
        if user_id in self._persons:
            return
        person = self._person(user_id, now)
        person.active = active
        if until > now:
            person.devices[PRESUMED] = _Device(ONLINE, {process: until})
            person.shown = Shown(self._state(person, now), None)
        self._settle(user_id, person, now)

    def presume_no_more(self, user_id: str, now: float) -> None:
        """One of their devices is not to be seen, and may be the one that was there before."""
        person = self._persons.get(user_id)
        if person is not None and person.devices.pop(PRESUMED, None) is not None:
            self._settle(user_id, person, now)

    def end(self, user_id: str, device: str, process: str, now: float) -> None:
        """A process says that its lease is over."""
        person = self._persons.get(user_id)
        if person is not None and device in person.devices:
            person.devices[device].leases.pop(process, None)
            self._settle(user_id, person, now)

    def active(self, user_id: str, when: float, now: float) -> None:
        """The user was active then."""
        person = self._person(user_id, when)
        if when > person.active:
            person.active = when
        self._settle(user_id, person, now)

    def act(self, user_id: str, when: float, now: float) -> None:
        """The user has done something, on whichever device: none of them is idle any more."""
        for known in self._person(user_id, when).devices.values():
            if known.state == UNAVAILABLE:
                known.state, known.woken = ONLINE, True
        self.active(user_id, when, now)

    def set_status(self, user_id: str, status_msg: str | None, ts: int, now: float) -> None:
        """Set at ``ts``, in milliseconds since the epoch: one that was set before another says nothing."""
        person = self._person(user_id, now)
        if ts >= person.status_ts:
            person.status_msg, person.status_ts = status_msg, ts
            self._settle(user_id, person, now)

    def status(self, user_id: str) -> tuple[str | None, int]:
        """The status message, and when it was set; 0 if it never was."""
        person = self._persons.get(user_id)
        return (None, 0) if person is None else (person.status_msg, person.status_ts)

    def turn(self, now: float) -> None:
        """Let what is due by now happen."""
        while self._queue and self._queue[0][0] <= now:
            due, user_id = heapq.heappop(self._queue)
            person = self._persons.get(user_id)
            if person is not None and person.due == due:
                person.due = inf
                self._settle(user_id, person, now)

    @property
    def next_due(self) -> float:
        """When something is due next, infinite if never."""
        return self._queue[0][0] if self._queue else inf

    def shown(self, user_id: str) -> Shown:
        person = self._persons.get(user_id)
        return NOBODY if person is None else person.shown

    def is_active(self, user_id: str, since: float) -> bool:
        """Whether another activity changes nothing: there was one after that time, and they are not idle."""
        person = self._persons.get(user_id)
        return person is not None and person.active > since and person.shown.state != UNAVAILABLE

    def last_active(self, user_id: str) -> float | None:
        person = self._persons.get(user_id)
        return None if person is None or person.active == -inf else person.active

    def device_state(self, user_id: str, device: str) -> int:
        """What a device said last; offline if it is not leased."""
        person = self._persons.get(user_id)
        known = None if person is None else person.devices.get(device)
        return OFFLINE if known is None else known.state

    def meant(self, user_id: str, device: str, state: int) -> tuple[int, bool]:
        """What a device means that polls with a state, and whether it is in that state already. One that is
        woken only repeats itself with ``unavailable``: it is idle again when its user is, or when it says so
        after something else.
        """
        person = self._persons.get(user_id)
        known = None if person is None else person.devices.get(device)
        if known is None:
            return state, False
        if known.woken:
            known.woken = state == UNAVAILABLE
            return ONLINE, True
        return state, known.state == state

    def present(self) -> Iterator[str]:
        """The users who are not offline."""
        return (user_id for user_id, person in self._persons.items() if person.shown.state != OFFLINE)

    def known(self) -> Iterator[str]:
        """All users of whom anything is known."""
        return iter(self._persons)

    def __contains__(self, user_id: str) -> bool:
        return user_id in self._persons

    def __len__(self) -> int:
        return len(self._persons)

    def _person(self, user_id: str, active: float) -> _Person:
        person = self._persons.get(user_id)
        if person is None:
            person = self._persons[user_id] = _Person(active)
            if len(self._persons) > self._most:
                self._forget_one(user_id)
        return person

    def _forget_one(self, but: str) -> None:
        for user_id, person in self._persons.items():
            if not person.devices and user_id != but:
                del self._persons[user_id]
                return

    def _settle(self, user_id: str, person: _Person, now: float) -> None:
        for device, known in tuple(person.devices.items()):
            for process, until in tuple(known.leases.items()):
                if until <= now:
                    del known.leases[process]
                    self._on_end(user_id, device, process)
            if not known.leases:
                del person.devices[device]
        state = self._state(person, now)
        due = min(
            (until for known in person.devices.values() for until in known.leases.values()), default=inf
        )
        if state == ONLINE:
            due = min(due, person.active + self._idle)
        # What is due later than it was is found out when the earlier time comes.
        if due < person.due:
            person.due = due
            heapq.heappush(self._queue, (due, user_id))
        shown = Shown(state, person.status_msg)
        if shown != person.shown:
            person.shown = shown
            self._on_change(user_id)

    def _state(self, person: _Person, now: float) -> int:
        state = max((known.state for known in person.devices.values()), default=OFFLINE)
        if state == ONLINE and now >= person.active + self._idle:
            return UNAVAILABLE
        return state
