"""Sync: tells clients what has happened, and holds the request until there is something to tell.

1. A replica follows all lanes (``replica``): the recent facts stay in memory with the bytes of their events,
   the memberships of connected users move with them, and the polls of those they concern wake up.
2. A sync takes a cut, one position a lane, and tells what lies between the client's token and the cut; the
   cut is the next token (``service``, ``since``).
3. Each part of the answer is a stream (``streams``), one module each. A room's section is made once for all
   of its members (``fragments``).
4. The answer is spliced from bytes (``answer``) and sent whole, or while it is made if it is large.

What lies within the tail is answered without a database; what lies beyond it is read, and comes to the same.
The truth is in PostgreSQL: any replica answers any request, and losing one loses nothing.

What is not here: anything that writes, other than deleting to-device messages that were acknowledged.
"""
