-- What waits for a worker, in one row, which each worker asks for once a second: a function keeps its plan behind a
-- pooler that carries no prepared statements. ``delayed_in``: milliseconds until the next delayed event is due that can
-- be claimed, not above 0 if it is; NULL if there is none. ``pushes``: whether any push is due at ``p_now``.
-- depends: 0010-push, 0025-delayed-event

CREATE OR REPLACE FUNCTION client_api.waiting(p_now bigint, OUT delayed_in bigint, OUT pushes boolean)
LANGUAGE plpgsql STABLE AS $$
BEGIN
    SELECT d.send_ts - client_api.now_ms() INTO delayed_in FROM client_api.delayed_event d
     WHERE d.finalised_ts IS NULL AND d.lease_until <= client_api.now_ms() AND NOT EXISTS (
        SELECT FROM client_api.delayed_event o
         WHERE o.room_id = d.room_id AND o.finalised_ts IS NULL AND o.lease_until > client_api.now_ms())
     ORDER BY d.send_ts LIMIT 1;
    pushes := EXISTS (SELECT FROM client_api.push p WHERE p.due_ts <= p_now);
END
$$;
