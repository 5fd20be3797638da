"""Simplified sliding sync: the client says which rooms it wants to see, and how much of each.

1. A request names *lists* (filters and a range over the user's rooms, by recent activity) and
   *subscriptions* (rooms by id), each with a *room config*: how many events, which state. ``codecs`` reads it
   in two spellings, that of today's clients and that of the accepted proposal; from there on there is one.
2. A *connection* (``connections``) remembers which rooms the client has been sent, and up to where. It is a
   row in PostgreSQL, a new version of it only when that changes: most answers change nothing, because a room
   whose every change is sent is up to where the token says. So any replica can go on, and after a restart.
3. ``table`` keeps the user's rooms in order of activity, by the facts of the lanes; ``lists`` picks from it.
4. ``rooms`` makes the results, from the same timelines and snapshots as /v3/sync; ``extensions`` adds what is
   not about rooms, by the streams of /v3/sync.
5. With nothing to tell the request is held, like any sync (``service``).

MSC4186, and its unstable form ``org.matrix.simplified_msc3575``.
"""
