-- Keys of one device: its identity keys (p_keys NULL: as they are), one-time keys, fallback keys; JSON in canonical
-- form, so that equal keys are equal bytes. All or nothing.
-- result: ok | unknown (no such device) | changed (a one-time key of that id stands with another value; conflict
-- names it) | too_many. counts: one-time keys left by algorithm, as two arrays.
-- position: of the facts DEVICE_LIST and KEY_COUNTS, of which told_devices and told_counts say which were made.
-- depends: 0002-tell

CREATE OR REPLACE FUNCTION users.upload_keys(
    p_lane smallint, p_user text, p_device text, p_keys bytea,
    p_algorithms text[], p_ids text[], p_values bytea[],
    p_fallback_algorithms text[], p_fallback_ids text[], p_fallback_values bytea[],
    p_now bigint, p_limit integer,
    OUT result text, OUT conflict text, OUT algorithms text[], OUT counts bigint[],
    OUT told_devices boolean, OUT told_counts boolean, OUT "position" bigint
) LANGUAGE plpgsql AS $$
DECLARE
    v_old bytea;
    v_kinds smallint[] := '{}';
    v_datas bytea[] := '{}';
BEGIN
    told_devices := false;
    told_counts := false;
    -- The device's row serialises uploads, and holds off its deletion.
    PERFORM FROM users.device d WHERE d.lane = p_lane AND d.user_id = p_user AND d.device_id = p_device
        FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        result := 'unknown';
        RETURN;
    END IF;
    FOR i IN 1..cardinality(p_ids) LOOP
        SELECT k.key INTO v_old FROM users.one_time_key k
            WHERE k.lane = p_lane AND k.user_id = p_user AND k.device_id = p_device
              AND k.algorithm = p_algorithms[i] AND k.key_id = p_ids[i];
        IF FOUND AND v_old <> p_values[i] THEN
            result := 'changed';
            conflict := p_algorithms[i] || ':' || p_ids[i];
            RETURN;
        END IF;
    END LOOP;
    IF cardinality(p_ids) + (SELECT count(*) FROM users.one_time_key k
                             WHERE k.lane = p_lane AND k.user_id = p_user AND k.device_id = p_device) > p_limit THEN
        result := 'too_many';
        RETURN;
    END IF;
    FOR i IN 1..cardinality(p_ids) LOOP
        INSERT INTO users.one_time_key (lane, user_id, device_id, algorithm, key_id, key, created_ts)
            VALUES (p_lane, p_user, p_device, p_algorithms[i], p_ids[i], p_values[i], p_now)
            ON CONFLICT DO NOTHING;
        told_counts := told_counts OR FOUND;
    END LOOP;
    FOR i IN 1..cardinality(p_fallback_ids) LOOP
        INSERT INTO users.fallback_key AS f (lane, user_id, device_id, algorithm, key_id, key, used)
            VALUES (p_lane, p_user, p_device, p_fallback_algorithms[i], p_fallback_ids[i], p_fallback_values[i],
                    false)
            ON CONFLICT (lane, user_id, device_id, algorithm)
            DO UPDATE SET key_id = excluded.key_id, key = excluded.key, used = false
                WHERE f.key_id <> excluded.key_id OR f.key <> excluded.key;
        told_counts := told_counts OR FOUND;
    END LOOP;
    IF p_keys IS NOT NULL THEN
        SELECT k.keys INTO v_old FROM users.device_key k
            WHERE k.lane = p_lane AND k.user_id = p_user AND k.device_id = p_device;
        told_devices := NOT FOUND OR v_old <> p_keys;
    END IF;
    SELECT coalesce(array_agg(c.algorithm), '{}'), coalesce(array_agg(c.n), '{}') INTO algorithms, counts FROM (
        SELECT k.algorithm, count(*) AS n FROM users.one_time_key k
        WHERE k.lane = p_lane AND k.user_id = p_user AND k.device_id = p_device GROUP BY k.algorithm) c;
    result := 'ok';
    IF told_devices THEN
        v_kinds := v_kinds || 3::smallint;
        v_datas := v_datas || ''::bytea;
    END IF;
    IF told_counts THEN
        v_kinds := v_kinds || 8::smallint;
        v_datas := v_datas || convert_to(p_device, 'UTF8');
    END IF;
    IF cardinality(v_kinds) > 0 THEN
        "position" := users.tell(p_lane, p_user, v_kinds, v_datas);
    END IF;
    IF told_devices THEN
        INSERT INTO users.device_key (lane, user_id, device_id, keys, position)
            VALUES (p_lane, p_user, p_device, p_keys, "position")
            ON CONFLICT (lane, user_id, device_id)
            DO UPDATE SET keys = excluded.keys, position = excluded.position;
    END IF;
END $$;
