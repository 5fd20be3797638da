-- Delayed events that are due, the longest due first, for the caller alone until the lease is over. One claim at a
-- time, and none of a room in which somebody is sending one: so a room gets them in the order in which they were due.
-- depends: 0025-delayed-event

CREATE INDEX delayed_event_room ON client_api.delayed_event (room_id) WHERE finalised_ts IS NULL;

CREATE FUNCTION client_api.claim_delayed_events(p_lease_ms bigint, p_limit integer)
RETURNS SETOF client_api.delayed_event LANGUAGE plpgsql AS $$
BEGIN
    -- In a statement of its own: what the one before has claimed must be seen by the next.
    IF NOT pg_try_advisory_xact_lock(hashtextextended('claim delayed events', 0)) THEN
        RETURN;
    END IF;
    RETURN QUERY
        WITH due AS (
            SELECT d.delay_id FROM client_api.delayed_event d
            WHERE d.finalised_ts IS NULL AND d.lease_until <= client_api.now_ms()
              AND d.send_ts <= client_api.now_ms()
              AND NOT EXISTS (SELECT FROM client_api.delayed_event o
                              WHERE o.room_id = d.room_id AND o.finalised_ts IS NULL
                                AND o.lease_until > client_api.now_ms())
            ORDER BY d.send_ts, d.delay_id LIMIT p_limit FOR UPDATE SKIP LOCKED
        )
        UPDATE client_api.delayed_event d SET lease_until = client_api.now_ms() + p_lease_ms, tries = d.tries + 1
        FROM due WHERE d.delay_id = due.delay_id RETURNING d.*;
END $$;
