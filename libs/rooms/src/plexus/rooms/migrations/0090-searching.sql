-- What a search asks of rooms, for functions of services: they are inlined where they stand.

-- Where a user is or was, not forgotten, as far as the room's state has no such entry (with an empty state key). Whether
-- they were ever joined is said by `rooms.viewed`.
CREATE FUNCTION rooms.known_to(in_user text, in_without text) RETURNS TABLE (lane smallint, room integer)
LANGUAGE sql STABLE AS $$
    SELECT m.lane, m.room FROM rooms.membership m
     WHERE m.user_id = in_user AND m.to_ordinal = 9223372036854775807 AND NOT m.forgotten
       -- A look-up for each, never a join with all states.
       AND (SELECT true FROM rooms.current_state s
             WHERE s.lane = m.lane AND s.room = m.room AND s.type = in_without AND s.state_key = '' LIMIT 1) IS NULL
$$;

-- A user's intervals in these rooms, as in plexus/rooms/visibility.py; i counts the rooms from 1.
CREATE FUNCTION rooms.viewed(in_user text, in_lanes smallint[], in_rooms integer[])
RETURNS TABLE (i bigint, from_ordinal bigint, to_ordinal bigint, membership smallint, history_visibility text,
               forgotten boolean)
LANGUAGE sql STABLE AS $$
    SELECT q.i, x.*
      FROM unnest(in_lanes, in_rooms) WITH ORDINALITY AS q (lane, room, i)
     CROSS JOIN LATERAL (
        SELECT m.from_ordinal, m.to_ordinal, m.membership, NULL::text, m.forgotten FROM rooms.membership m
         WHERE m.lane = q.lane AND m.room = q.room AND m.user_id = in_user
        UNION ALL
        SELECT v.from_ordinal, v.to_ordinal, NULL, v.history_visibility, false FROM rooms.visibility v
         WHERE v.lane = q.lane AND v.room = q.room
     ) AS x (from_ordinal, to_ordinal, membership, history_visibility, forgotten)
$$;
