-- Eight partitions of eight lanes each: it cannot be done online later. Rows that are updated in place leave room on
-- their page, so that an update touches no index (HOT).

DO $$
DECLARE
    parent text;
    lanes  text;
BEGIN
    FOREACH parent IN ARRAY ARRAY['room', 'event', 'state_key', 'snapshot', 'page', 'current_state', 'membership',
                                  'visibility', 'host', 'txn'] LOOP
        FOR part IN 0 .. 7 LOOP
            SELECT string_agg(lane::text, ', ') INTO lanes FROM generate_series(part * 8, part * 8 + 7) AS lane;
            EXECUTE format('CREATE TABLE rooms.%I PARTITION OF rooms.%I FOR VALUES IN (%s)',
                           parent || '_' || part, parent, lanes);
            IF parent = 'room' THEN
                EXECUTE format('ALTER TABLE rooms.%I SET (fillfactor = 40)', parent || '_' || part);
            ELSIF parent IN ('current_state', 'membership', 'host') THEN
                EXECUTE format('ALTER TABLE rooms.%I SET (fillfactor = 80)', parent || '_' || part);
            END IF;
        END LOOP;
    END LOOP;
END
$$;

CREATE INDEX room_published ON rooms.room (lane, room) WHERE published;
