-- Threads that a user follows, or has followed (MSC4306). A subscription that was ended keeps its row: other devices
-- must hear of the end, and what was seen by then subscribes to the thread no more by itself.
-- depends: 0002-tell, 0019-deactivate

CREATE TABLE users.thread_subscription (
    lane smallint NOT NULL,
    user_id text NOT NULL,
    room_id text NOT NULL,
    event_id text NOT NULL,
    subscribed boolean NOT NULL,
    automatic boolean NOT NULL,
    ended bigint,
    position bigint NOT NULL,
    PRIMARY KEY (lane, user_id, room_id, event_id)
) PARTITION BY LIST (lane);
CREATE INDEX thread_subscription_position ON users.thread_subscription (lane, user_id, position);
CREATE INDEX thread_subscription_thread ON users.thread_subscription (event_id) WHERE subscribed;
COMMENT ON COLUMN users.thread_subscription.event_id IS 'the root of the thread';
COMMENT ON COLUMN users.thread_subscription.ended
    IS 'ordinal of the room''s newest event when the user last unsubscribed; NULL: never';

DO $$
BEGIN
    FOR part IN 0..3 LOOP
        EXECUTE format('CREATE TABLE users.%I PARTITION OF users.thread_subscription FOR VALUES IN (%s, %s, %s, %s)',
                       'thread_subscription_' || part, part * 4, part * 4 + 1, part * 4 + 2, part * 4 + 3);
    END LOOP;
END $$;

-- p_cause is the ordinal of the event that brings an automatic subscription; NULL: the user wants it. What is there
-- stays, but one that the user wants is automatic no more. A new row is refused beyond p_most.
-- result: ok | conflict (unsubscribed since that event) | too_many | gone. position: of the fact, if something changed.
CREATE OR REPLACE FUNCTION users.subscribe_to_thread(
    p_lane smallint, p_user text, p_room text, p_event text, p_cause bigint, p_most integer,
    OUT result text, OUT "position" bigint
) LANGUAGE plpgsql AS $$
DECLARE
    v_subscribed boolean;
    v_automatic boolean;
    v_ended bigint;
    v_position bigint;
BEGIN
    PERFORM FROM users.account a
        WHERE a.lane = p_lane AND a.user_id = p_user AND a.deactivated_ts IS NULL FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        result := 'gone';
        RETURN;
    END IF;
    SELECT s.subscribed, s.automatic, s.ended INTO v_subscribed, v_automatic, v_ended
        FROM users.thread_subscription s
        WHERE s.lane = p_lane AND s.user_id = p_user AND s.room_id = p_room AND s.event_id = p_event;
    result := 'ok';
    IF v_subscribed AND (p_cause IS NOT NULL OR NOT v_automatic) THEN
        RETURN;
    ELSIF NOT v_subscribed AND p_cause <= v_ended THEN
        result := 'conflict';
        RETURN;
    ELSIF v_subscribed IS NULL AND p_most <= (
        SELECT count(*) FROM users.thread_subscription s WHERE s.lane = p_lane AND s.user_id = p_user
    ) THEN
        result := 'too_many';
        RETURN;
    END IF;
    v_position := users.tell(p_lane, p_user, ARRAY[10]::smallint[], ARRAY[convert_to(p_event, 'UTF8')]);
    INSERT INTO users.thread_subscription AS s
           (lane, user_id, room_id, event_id, subscribed, automatic, position)
        VALUES (p_lane, p_user, p_room, p_event, true, p_cause IS NOT NULL, v_position)
        ON CONFLICT (lane, user_id, room_id, event_id)
        DO UPDATE SET subscribed = true, automatic = excluded.automatic, position = excluded.position;
    "position" := v_position;
END $$;

-- p_newest is the ordinal of the room's newest event. The position of the fact; NULL if there was nothing to end.
CREATE OR REPLACE FUNCTION users.unsubscribe_from_thread(
    p_lane smallint, p_user text, p_room text, p_event text, p_newest bigint
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_subscribed boolean;
    v_position bigint;
BEGIN
    SELECT s.subscribed INTO v_subscribed FROM users.thread_subscription s
        WHERE s.lane = p_lane AND s.user_id = p_user AND s.room_id = p_room AND s.event_id = p_event
        FOR NO KEY UPDATE;
    IF v_subscribed THEN
        v_position := users.tell(p_lane, p_user, ARRAY[10]::smallint[], ARRAY[convert_to(p_event, 'UTF8')]);
    END IF;
    -- Who says it again has seen more by now.
    UPDATE users.thread_subscription s
        SET subscribed = false, ended = greatest(s.ended, p_newest), position = coalesce(v_position, s.position)
        WHERE s.lane = p_lane AND s.user_id = p_user AND s.room_id = p_room AND s.event_id = p_event;
    RETURN v_position;
END $$;

-- As in 0019-deactivate, and with what this migration adds.
CREATE OR REPLACE FUNCTION users.deactivate(
    p_lane smallint, p_user text, p_erase boolean, p_now bigint,
    OUT result text, OUT deleted text[], OUT had_keys boolean, OUT "position" bigint, OUT last bigint
) LANGUAGE plpgsql AS $$
BEGIN
    UPDATE users.account a SET deactivated_ts = p_now, password_hash = NULL, erased = p_erase
        WHERE a.lane = p_lane AND a.user_id = p_user AND a.deactivated_ts IS NULL;
    IF NOT FOUND THEN
        result := 'gone';
        RETURN;
    END IF;
    DELETE FROM users.profile p WHERE p.lane = p_lane AND p.user_id = p_user;
    DELETE FROM users.account_data d WHERE d.lane = p_lane AND d.user_id = p_user;
    DELETE FROM users.push_rules r WHERE r.lane = p_lane AND r.user_id = p_user;
    DELETE FROM users.filter f WHERE f.lane = p_lane AND f.user_id = p_user;
    DELETE FROM users.thread_subscription s WHERE s.lane = p_lane AND s.user_id = p_user;
    DELETE FROM users.threepid t WHERE t.user_id = p_user;
    DELETE FROM users.room_task r WHERE r.lane = p_lane AND r.user_id = p_user;
    INSERT INTO users.room_task (lane, user_id, kind, version, lease_until) VALUES (p_lane, p_user, 'leave', 1, 0);
    SELECT d.deleted, d.had_keys, d."position" INTO deleted, had_keys, "position"
        FROM users.delete_devices(p_lane, p_user, NULL, NULL) d;
    last := users.tell(p_lane, p_user, ARRAY[6, 9]::smallint[], ARRAY['', '']::bytea[]);
    result := 'ok';
END $$;
