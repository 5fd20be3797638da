-- The relations of the events that were written before there was a table for them. All events are read once; nobody is
-- kept from writing meanwhile.

-- First wait for the writes that had begun before the one before this was there: a lock that is given back at once.
DO $$
BEGIN
    LOCK TABLE rooms.event IN SHARE MODE;
    RAISE EXCEPTION USING ERRCODE = 'query_canceled';
EXCEPTION
    WHEN query_canceled THEN NULL;
END
$$;

INSERT INTO rooms.relation (lane, room, num, ordinal, sub, parent, rel_type, event_id, type, sender, ts, key, edit)
SELECT e.lane, e.room, e.num, e.ordinal, e.sub, r.parent, r.rel_type, e.event_id, e.type, e.sender, e.origin_server_ts,
       r.key, r.edit
  FROM rooms.event e CROSS JOIN LATERAL rooms.relation_of(e.raw) AS r
 WHERE e.ordinal IS NOT NULL AND e.redacted_by IS NULL AND position('"m.relates_to":'::bytea IN e.raw) > 0
ON CONFLICT DO NOTHING;
