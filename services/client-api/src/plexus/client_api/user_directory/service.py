"""Searching for users: by what words, and whom the searcher may find.

Everybody finds those with whom they share a room and those in public or world-readable rooms; with the
setting ``user_directory.search_all_users`` all users of this server. Users of other servers are found if they
are in a room here; other servers are not asked.

``Accept-Language`` is not looked at: names are compared without case and accents in all languages alike,
which finds at least what the rules of one would find.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from plexus.client_api.deps import ClientApi
from plexus.client_api.search.words import beginnings, fold, query
from plexus.client_api.user_directory import queries
from plexus.client_api.user_directory.indexing import FAMILIES, WORKER, matters
from plexus.client_api.user_directory.models import MAX_PAGE
from plexus.client_api.user_directory.queries import FoundUser, Term
from plexus.platform.lanes.cursors import marks_to_wait_for, wait_for

CANDIDATES = 500
"""So many of the best that match are looked at one by one. If there are more, the searcher's neighbours are
read instead, however many they are."""


async def search(api: ClientApi, user_id: str, text: str, limit: int) -> dict[str, Any]:
    """``searchUserDirectory``: the best first."""
    term = _term(text)
    limit = min(limit, MAX_PAGE)
    if term is None or limit == 0:
        return {"results": [], "limited": False}
    await wait_for(
        api.platform,
        WORKER,
        await marks_to_wait_for(api.platform, user_id, FAMILIES),
        matters=partial(matters, api.rooms),
    )
    if api.platform.settings.user_directory.search_all_users:
        found = await _of_all(api, user_id, term, limit)
    else:
        found = await _of_visible(api, user_id, term, limit)
    return {"results": [_shown(user) for user in found[:limit]], "limited": len(found) > limit}


def _term(text: str) -> Term | None:
    folded = fold(text).strip()
    words, whole = beginnings(folded), query(folded.replace('"', " "))
    if words is None or whole is None or "\0" in text:
        return None
    is_id = folded.startswith("@") or ":" in folded
    start = f"@{folded.removeprefix('@')}" if is_id else ""
    return Term(words, whole, start, folded)


async def _of_visible(api: ClientApi, user_id: str, term: Term, limit: int) -> list[FoundUser]:
    db = api.platform.db
    found = await queries.find(db, term, but=user_id, among=None, limit=CANDIDATES + 1)
    if len(found) > CANDIDATES:
        neighbours = await api.rooms.neighbours(user_id)
        return await queries.find(db, term, but=user_id, among=neighbours, limit=limit + 1)
    hidden = [user.user_id for user in found if not user.is_public]
    shared = await api.rooms.share_room(user_id, hidden) if hidden else set()
    return [user for user in found if user.is_public or user.user_id in shared]


async def _of_all(api: ClientApi, user_id: str, term: Term, limit: int) -> list[FoundUser]:
    found = await queries.find(api.platform.db, term, but=user_id, among=None, limit=CANDIDATES)
    strangers = [u.user_id for u in found if not u.is_public and not api.users.is_local(u.user_id)]
    shared = await api.rooms.share_room(user_id, strangers) if strangers else set()
    found = [user for user in found if user.user_id not in strangers or user.user_id in shared]
    # Who has neither a name nor a room is in no fact: of them the accounts know.
    there = {user.user_id for user in found} | {user_id}
    start = f"@{term.term.removeprefix('@')}"
    more = await api.users.listed_beginning(start, limit + 1 + len(there)) if len(found) <= limit else []
    return found + [FoundUser(other, None, None, False) for other in more if other not in there]


def _shown(user: FoundUser) -> dict[str, str]:
    shown = {"user_id": user.user_id, "display_name": user.display_name, "avatar_url": user.avatar_url}
    return {name: value for name, value in shown.items() if value is not None}
