"""Lanes: what is durable, and who must be told of it.

Every durable change that somebody may have to be told of is a fact in one of a fixed number of append-only
logs. A fact's position is given by ``lanes.append``, called near the end of the statement that writes what
the fact is about; the lane's row stays locked until the commit is visible. So position order is visibility
order in each lane, and there are no holes. Then:

1. The writer publishes the facts of a commit as one `Group` through the `LaneFanout`, and forgets them.
2. A `Follower` delivers each lane's facts in order; what the fan-out loses it reads from the `LaneLog`.
3. Clients hold a `SyncToken`: a position of every lane, in a generation.
4. A generation begins when history may have lost something (failover, restore, a copied data folder). What
   holds positions of an older one is cut back to where the next began.

One lane a transaction. No lane is held over a round trip to the client. `origin_server_ts` orders nothing.
"""

from plexus.platform.lanes.facts import BelowFloor, Fact, Generation, Group, Heads, Tail, Tails
from plexus.platform.lanes.fanout import LaneFanout, MemoryFanout, Subscription
from plexus.platform.lanes.follower import Follower
from plexus.platform.lanes.kinds import FAMILIES, ROOM, USER, RoomFact, UserFact
from plexus.platform.lanes.lane_map import LaneMap
from plexus.platform.lanes.log import LaneLog, read_lane_map
from plexus.platform.lanes.segments import Segments, SegmentState
from plexus.platform.lanes.tokens import FROM_THE_FIRST, InboxToken, SyncToken, decode_pos, encode_pos

__all__ = [
    "FAMILIES",
    "FROM_THE_FIRST",
    "ROOM",
    "USER",
    "BelowFloor",
    "Fact",
    "Follower",
    "Generation",
    "Group",
    "Heads",
    "InboxToken",
    "LaneFanout",
    "LaneLog",
    "LaneMap",
    "MemoryFanout",
    "RoomFact",
    "SegmentState",
    "Segments",
    "Subscription",
    "SyncToken",
    "Tail",
    "Tails",
    "UserFact",
    "decode_pos",
    "encode_pos",
    "read_lane_map",
]
