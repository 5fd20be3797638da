"""Rooms in a few words, for who may join them or look inside: one room, or the tree of a space.

1. ``gathering`` reads many rooms at once: what stands in their state, how many are in them, and whether this
   requester may be told.
2. ``describing`` makes of it what the specification calls a ``RoomSummary``.
3. ``tree`` walks a space, depth first; ``tokens`` says where a page of it ended.

Rooms that this server is not in are not asked for elsewhere yet: there are none such.
"""
