-- Events that are to be sent later, and those that were or were not. ``lease_until``: until then somebody is sending
-- it. ``tries``: how often that was begun. A finalised one has an event_id if it was sent, else an error unless its
-- user cancelled it. All times are PostgreSQL's, in milliseconds.
-- depends: 0001-report

CREATE TABLE client_api.delayed_event (
    delay_id     text   PRIMARY KEY,
    user_id      text   NOT NULL,
    device_id    text   NOT NULL,
    endpoint     text   NOT NULL,
    txn_id       text,
    room_id      text   NOT NULL,
    type         text   NOT NULL,
    state_key    text,
    content      bytea  NOT NULL,
    delay_ms     bigint NOT NULL,
    scheduled_ts bigint NOT NULL,
    send_ts      bigint NOT NULL GENERATED ALWAYS AS (scheduled_ts + delay_ms) STORED,
    lease_until  bigint NOT NULL DEFAULT 0,
    tries        integer NOT NULL DEFAULT 0,
    finalised_ts bigint,
    event_id     text,
    error        bytea
);
CREATE UNIQUE INDEX delayed_event_txn ON client_api.delayed_event (user_id, device_id, room_id, endpoint, txn_id)
    WHERE txn_id IS NOT NULL;
CREATE INDEX delayed_event_due ON client_api.delayed_event (send_ts) WHERE finalised_ts IS NULL;
CREATE INDEX delayed_event_user ON client_api.delayed_event (user_id, send_ts) WHERE finalised_ts IS NULL;
CREATE INDEX delayed_event_kept ON client_api.delayed_event (user_id, finalised_ts) WHERE finalised_ts IS NOT NULL;

-- When the statement began: one moment throughout, so that an index may serve to compare with it.
CREATE FUNCTION client_api.now_ms() RETURNS bigint LANGUAGE sql STABLE AS
    'SELECT (extract(epoch FROM statement_timestamp()) * 1000)::bigint';

-- result: ok | full. A transaction id that is known gives its delay_id again. wait_ms: until the first of the user's
-- events is due (full only).
CREATE FUNCTION client_api.schedule_delayed_event(
    p_delay_id text, p_user text, p_device text, p_endpoint text, p_txn text, p_room text, p_type text,
    p_state_key text, p_content bytea, p_delay bigint, p_most integer,
    OUT result text, OUT delay_id text, OUT wait_ms bigint
) LANGUAGE plpgsql AS $$
DECLARE
    v_waiting bigint;
    v_first bigint;
BEGIN
    -- One at a time for a user, so that the limit holds and a transaction id makes one event.
    PERFORM pg_advisory_xact_lock(hashtextextended('delayed event ' || p_user, 0));
    result := 'ok';
    SELECT d.delay_id INTO delay_id FROM client_api.delayed_event d
        WHERE d.user_id = p_user AND d.device_id = p_device AND d.room_id = p_room AND d.endpoint = p_endpoint
          AND d.txn_id = p_txn;
    IF FOUND THEN
        RETURN;
    END IF;
    SELECT count(*), min(d.send_ts) INTO v_waiting, v_first FROM client_api.delayed_event d
        WHERE d.user_id = p_user AND d.finalised_ts IS NULL;
    IF v_waiting >= p_most THEN
        result := 'full';
        wait_ms := greatest(v_first - client_api.now_ms(), 0);
        RETURN;
    END IF;
    INSERT INTO client_api.delayed_event (delay_id, user_id, device_id, endpoint, txn_id, room_id, type, state_key,
                                          content, delay_ms, scheduled_ts)
        VALUES (p_delay_id, p_user, p_device, p_endpoint, p_txn, p_room, p_type, p_state_key, p_content, p_delay,
                client_api.now_ms());
    delay_id := p_delay_id;
END $$;
