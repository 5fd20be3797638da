-- What push gateways are still to be told: one row a notification and pusher, until it is told or too old. Made by the
-- worker "push", which follows the room lanes. Times in milliseconds.

CREATE TABLE client_api.push (
    lane       smallint NOT NULL,
    room       integer  NOT NULL,
    num        bigint   NOT NULL,                    -- the event's number in its room
    user_id    text     NOT NULL,
    app_id     text     NOT NULL,
    pushkey    text     NOT NULL,
    actions    text     NOT NULL,                    -- of the push rule, as JSON
    created_ts bigint   NOT NULL,
    due_ts     bigint   NOT NULL,                    -- not to be tried before; while it is tried, the end of the lease
    attempts   integer  NOT NULL DEFAULT 0,
    PRIMARY KEY (lane, room, num, user_id, app_id, pushkey)
) PARTITION BY LIST (lane);
CREATE INDEX push_due ON client_api.push (due_ts);
CREATE INDEX push_pusher ON client_api.push (user_id, app_id, pushkey);

DO $$
DECLARE
    lanes text;
BEGIN
    FOR part IN 0 .. 7 LOOP
        SELECT string_agg(lane::text, ', ') INTO lanes FROM generate_series(part * 8, part * 8 + 7) AS lane;
        EXECUTE format('CREATE TABLE client_api.push_%s PARTITION OF client_api.push FOR VALUES IN (%s)', part, lanes);
    END LOOP;
END
$$;
