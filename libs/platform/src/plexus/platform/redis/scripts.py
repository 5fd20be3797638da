"""What Redis does in one step for us, in Lua. Keys and arguments are named on top of each script.

Positions have up to 63 bits and Lua's numbers 53, so they are compared as text: `less`.
"""

from __future__ import annotations

from hashlib import sha1

_LESS = """
local function less(a, b)
  local na, nb = string.sub(a, 1, 1) == '-', string.sub(b, 1, 1) == '-'
  if na ~= nb then return na end
  if na then a, b = string.sub(b, 2), string.sub(a, 2) end
  if #a ~= #b then return #a < #b end
  return a < b
end
"""


class Script:
    """Called by its hash; Redis is given the text when it does not know it yet, as after its restart.

    ``keys``: how many of its words are keys; None if all are.
    """

    __slots__ = ("keys", "sha", "text")

    def __init__(self, keys: int | None, text: str) -> None:
        self.keys = keys
        self.text = text
        self.sha = sha1(text.encode(), usedforsecurity=False).hexdigest()


INCREMENT = Script(
    1,
    """
-- counter | by, ttl in ms
local sum = redis.call('INCRBY', KEYS[1], ARGV[1])
if redis.call('PTTL', KEYS[1]) < 0 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return sum
""",
)

MERGE_MAX = Script(
    1,
    _LESS
    + """
-- hash | ttl in ms, then name and number of each
for i = 2, #ARGV, 2 do
  local known = redis.call('HGET', KEYS[1], ARGV[i])
  if not known or less(known, ARGV[i + 1]) then redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
""",
)

TAKE = Script(
    1,
    """
-- bucket | tokens a second, burst, cost
-- Answers the seconds to wait, as text: a number would lose what is behind the point.
local rate, burst, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local bucket = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens = burst
if bucket[1] then
  tokens = math.min(burst, bucket[1] + math.max(0, now - bucket[2]) * rate)
end
local wanted = cost > 0 and cost or 1
if tokens < wanted then return string.format('%.6f', math.max((wanted - tokens) / rate, 0.000001)) end
if cost > 0 then
  local left = tokens - cost
  redis.call('HSET', KEYS[1], 'tokens', string.format('%.9f', left), 'at', string.format('%.6f', now))
  -- A full bucket is the same as none.
  redis.call('PEXPIRE', KEYS[1], math.ceil((burst - left) / rate * 1000) + 1)
end
return '0'
""",
)

MARKS_OF = Script(
    None,
    """
-- kept, lost, marks of each |
local found = {redis.call('GET', KEYS[1]), redis.call('GET', KEYS[2])}
for i = 3, #KEYS do found[i] = redis.call('HGETALL', KEYS[i]) end
return found
""",
)

MARKS_ANEW = Script(
    2,
    """
-- kept, lost | ttl of marks in ms
redis.call('SET', KEYS[1], '1')
redis.call('SET', KEYS[2], '1', 'PX', ARGV[1])
""",
)

CACHE_ANEW = Script(
    2,
    """
-- era, settling | the new era, ms
redis.call('SET', KEYS[1], ARGV[1])
redis.call('SET', KEYS[2], '1', 'PX', ARGV[2])
""",
)

CACHE_PUT = Script(
    4,
    _LESS
    + """
-- era, settling, newest, entry | position, value, ttl in ms, ms for which the position outlives it
local era = redis.call('GET', KEYS[1])
if not era or redis.call('EXISTS', KEYS[2]) == 1 then return era and 0 or -1 end
local newest = redis.call('GET', KEYS[3])
if newest and less(ARGV[1], newest) then return 0 end
redis.call('SET', KEYS[3], ARGV[1], 'PX', ARGV[3] + ARGV[4])
redis.call('SET', KEYS[4], era .. ':' .. ARGV[1] .. ':' .. ARGV[2], 'PX', ARGV[3])
return 1
""",
)

CACHE_INVALIDATE = Script(
    2,
    _LESS
    + """
-- newest, entry | position, ms for which it is remembered at least
local newest = redis.call('GET', KEYS[1])
if not newest or less(newest, ARGV[1]) then newest = ARGV[1] end
redis.call('SET', KEYS[1], newest, 'PX', math.max(redis.call('PTTL', KEYS[1]), ARGV[2]))
local at = string.match(redis.call('GETRANGE', KEYS[2], 0, 99), '^[^:]*:(%d+):')
if at and less(at, ARGV[1]) then redis.call('UNLINK', KEYS[2]) end
""",
)
