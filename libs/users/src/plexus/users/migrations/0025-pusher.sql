-- Pushers: where a user's devices want to hear of notifications. One belongs to the device that made it, and goes
-- with it; the function that deletes devices is told so.
-- depends: 0006-delete-devices

CREATE TABLE users.pusher (
    lane smallint NOT NULL,
    user_id text NOT NULL,
    app_id text NOT NULL,
    pushkey text NOT NULL,
    device_id text NOT NULL,
    kind text NOT NULL,
    app_display_name text NOT NULL,
    device_display_name text NOT NULL,
    profile_tag text,
    lang text NOT NULL,
    data text NOT NULL,
    PRIMARY KEY (lane, user_id, app_id, pushkey)
) PARTITION BY LIST (lane);
-- Who else has this pushkey.
CREATE INDEX pusher_key ON users.pusher (pushkey, app_id);

DO $$
BEGIN
    FOR part IN 0..3 LOOP
        EXECUTE format('CREATE TABLE users.pusher_%s PARTITION OF users.pusher FOR VALUES IN (%s, %s, %s, %s)',
                       part, part * 4, part * 4 + 1, part * 4 + 2, part * 4 + 3);
    END LOOP;
END $$;

-- result: ok | unknown (the device is gone) | full (the user has p_most others).
CREATE OR REPLACE FUNCTION users.put_pusher(
    p_lane smallint, p_user text, p_device text, p_app text, p_key text, p_kind text, p_app_name text,
    p_device_name text, p_tag text, p_lang text, p_data text, p_most integer
) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    -- The device stays until this is written: whoever deletes it takes the pusher along.
    PERFORM FROM users.device WHERE lane = p_lane AND user_id = p_user AND device_id = p_device FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 'unknown';
    END IF;
    IF p_most <= (SELECT count(*) FROM users.pusher WHERE lane = p_lane AND user_id = p_user
                  AND (app_id, pushkey) <> (p_app, p_key)) THEN
        RETURN 'full';
    END IF;
    INSERT INTO users.pusher (lane, user_id, app_id, pushkey, device_id, kind, app_display_name,
                              device_display_name, profile_tag, lang, data)
    VALUES (p_lane, p_user, p_app, p_key, p_device, p_kind, p_app_name, p_device_name, p_tag, p_lang, p_data)
    ON CONFLICT (lane, user_id, app_id, pushkey) DO UPDATE
       SET device_id = excluded.device_id, kind = excluded.kind, app_display_name = excluded.app_display_name,
           device_display_name = excluded.device_display_name, profile_tag = excluded.profile_tag,
           lang = excluded.lang, data = excluded.data;
    RETURN 'ok';
END $$;

CREATE OR REPLACE FUNCTION users.delete_devices(
    p_lane smallint, p_user text, p_devices text[], p_keep text,
    OUT deleted text[], OUT had_keys boolean, OUT "position" bigint
) LANGUAGE plpgsql AS $$
DECLARE
    v_device text;
    v_kinds smallint[] := '{}';
    v_datas bytea[] := '{}';
BEGIN
    deleted := '{}';
    had_keys := false;
    -- In one order for everybody: two deletions that overlap wait, and do not deadlock.
    FOR v_device IN
        SELECT d.device_id FROM users.device d
        WHERE d.lane = p_lane AND d.user_id = p_user AND d.device_id IS DISTINCT FROM p_keep
          AND (p_devices IS NULL OR d.device_id = ANY (p_devices))
        ORDER BY d.device_id FOR UPDATE
    LOOP
        DELETE FROM users.device d WHERE d.lane = p_lane AND d.user_id = p_user AND d.device_id = v_device;
        DELETE FROM users.token t WHERE t.lane = p_lane AND t.user_id = p_user AND t.device_id = v_device;
        DELETE FROM users.pusher p WHERE p.lane = p_lane AND p.user_id = p_user AND p.device_id = v_device;
        DELETE FROM users.device_key k WHERE k.lane = p_lane AND k.user_id = p_user AND k.device_id = v_device;
        had_keys := had_keys OR FOUND;
        DELETE FROM users.one_time_key k WHERE k.lane = p_lane AND k.user_id = p_user AND k.device_id = v_device;
        DELETE FROM users.fallback_key k WHERE k.lane = p_lane AND k.user_id = p_user AND k.device_id = v_device;
        DELETE FROM users.to_device m WHERE m.lane = p_lane AND m.user_id = p_user AND m.device_id = v_device;
        deleted := deleted || v_device;
        v_kinds := v_kinds || 6::smallint;
        v_datas := v_datas || convert_to(v_device, 'UTF8');
    END LOOP;
    IF had_keys THEN
        v_kinds := v_kinds || 3::smallint;
        v_datas := v_datas || ''::bytea;
    END IF;
    IF cardinality(v_kinds) > 0 THEN
        "position" := users.tell(p_lane, p_user, v_kinds, v_datas);
    END IF;
END $$;
