"""What replicas share for a moment, in Redis: the adapters of a cluster for `Ephemeral`, `Cache` and `Marks`.

1. `RedisConnection` is the one way of a process to Redis. Calls travel together; when Redis dies or freezes
   all of them are told so at once, and nobody waits for it again until it has answered in the background.
2. `RedisEphemeral`, `RedisCache` and `RedisMarks` stand on it and say for each operation what happens
   without. None of them raises because Redis is away: it costs no message and logs nobody out.
3. What was to be stored while Redis was away leaves it wrong: it holds what was replaced, and lacks what was
   not written. So the connection is told what is owed (`RedisConnection.owe`), and pays before anything else
   is asked of a Redis that has come back.

For one Redis (or Valkey), its failover included; not for a Redis Cluster: scripts take several keys.
"""

from plexus.platform.redis.cache import RedisCache
from plexus.platform.redis.connection import RedisAway, RedisConnection
from plexus.platform.redis.ephemeral import RedisEphemeral
from plexus.platform.redis.marks import RedisMarks

__all__ = ["RedisAway", "RedisCache", "RedisConnection", "RedisEphemeral", "RedisMarks"]
