"""``m.typing`` among the ephemeral events of joined rooms.

The list replaces what a client was told before. A client that nobody here knows anything of (its token is
from before this replica began) is told of all rooms in which somebody is typing; and if somebody was, when
its token was made, also of those in which nobody is any more.

Client-Server API, "Typing Notifications".
"""

from __future__ import annotations

from collections.abc import Iterable

import orjson
from plexus.sync.ephemeral.typing import TypingBook
from plexus.sync.replica import Cut, UserView
from plexus.sync.replica.views import holds_at
from plexus.sync.streams.context import Answer

TYPE = "m.typing"


class TypingStream:
    def __init__(self, book: TypingBook) -> None:
        self._book = book

    def shown_to(self, view: UserView) -> bool:
        """Whether somebody is typing in a room of the user."""
        return bool(self._book.rooms) and not view.joined.keys().isdisjoint(self._book.rooms.keys())

    def changes(self, answer: Answer, since: Cut) -> None:
        """Add the rooms whose typists have changed since a cut, and those newly joined; after the rooms."""
        changed = self._book.changed_since(since.epoch, since.moment)
        if changed is not None:
            self._add(answer, changed)
        else:
            self._add(answer, tuple(answer.view.joined) if since.shows else tuple(self._book.rooms))
        self.of(answer, [ref.room_id for ref in answer.newly_joined])

    def everything(self, answer: Answer) -> None:
        """Add the rooms in which somebody is typing."""
        self._add(answer, tuple(self._book.rooms))

    def of(self, answer: Answer, room_ids: Iterable[str]) -> None:
        """Add those of some rooms in which somebody is typing."""
        self._add(answer, [room_id for room_id in room_ids if room_id in self._book.rooms])

    def now(self, answer: Answer, room_ids: Iterable[str]) -> None:
        """Add some rooms, also if nobody is typing in them."""
        self._add(answer, room_ids)

    def _add(self, answer: Answer, room_ids: Iterable[str]) -> None:
        wanted = answer.filter.filter.room.ephemeral
        for room_id in room_ids:
            membership = answer.view.joined.get(room_id)
            if (
                membership is not None
                and room_id not in answer.typing
                and holds_at(answer.cut, membership)
                and answer.filter.wants_room(room_id)
                and wanted.matches(TYPE, None, room_id)
            ):
                answer.typing.add(room_id)
                users = [user for user in self._book.who(room_id) if user not in answer.rules.ignored]
                # Who began while the answer was made is told too, and has to be taken back one day.
                answer.shows |= bool(users)
                answer.add_ephemeral(
                    room_id, b'{"type":"m.typing","content":{"user_ids":%b}}' % orjson.dumps(users)
                )
