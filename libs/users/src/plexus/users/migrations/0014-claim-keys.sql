-- One key for each wanted (user, device, algorithm) of one lane: the oldest one-time key, given away once, or the
-- fallback key. Absent ones have no row. Rows name their wish by ordinal; ``position`` is that of the KEY_COUNTS
-- facts, of which there is one for each row with ``told``, in this order.
-- depends: 0002-tell

CREATE OR REPLACE FUNCTION users.claim_keys(
    p_lane smallint, p_users text[], p_devices text[], p_algorithms text[]
) RETURNS TABLE (wish integer, key_id text, key bytea, told boolean, "position" bigint) LANGUAGE plpgsql AS $$
DECLARE
    v_wishes integer[] := '{}';
    v_ids text[] := '{}';
    v_keys bytea[] := '{}';
    v_told boolean[] := '{}';
    v_subjects text[] := '{}';
    v_datas bytea[] := '{}';
    v_id text;
    v_key bytea;
    v_used boolean;
    v_position bigint;
BEGIN
    FOR i IN 1..cardinality(p_users) LOOP
        DELETE FROM users.one_time_key k
            WHERE k.lane = p_lane AND k.user_id = p_users[i] AND k.device_id = p_devices[i]
              AND k.algorithm = p_algorithms[i] AND k.key_id = (
                SELECT o.key_id FROM users.one_time_key o
                WHERE o.lane = p_lane AND o.user_id = p_users[i] AND o.device_id = p_devices[i]
                  AND o.algorithm = p_algorithms[i]
                ORDER BY o.created_ts, o.key_id LIMIT 1 FOR UPDATE SKIP LOCKED)
            RETURNING k.key_id, k.key INTO v_id, v_key;
        IF FOUND THEN
            v_told := v_told || true;
        ELSE
            SELECT f.key_id, f.key, f.used INTO v_id, v_key, v_used FROM users.fallback_key f
                WHERE f.lane = p_lane AND f.user_id = p_users[i] AND f.device_id = p_devices[i]
                  AND f.algorithm = p_algorithms[i];
            CONTINUE WHEN NOT FOUND;
            IF NOT v_used THEN
                UPDATE users.fallback_key f SET used = true
                    WHERE f.lane = p_lane AND f.user_id = p_users[i] AND f.device_id = p_devices[i]
                      AND f.algorithm = p_algorithms[i] AND f.key_id = v_id;
            END IF;
            v_told := v_told || NOT v_used;
        END IF;
        v_wishes := v_wishes || i;
        v_ids := v_ids || v_id;
        v_keys := v_keys || v_key;
        IF v_told[cardinality(v_told)] THEN
            v_subjects := v_subjects || p_users[i];
            v_datas := v_datas || convert_to(p_devices[i], 'UTF8');
        END IF;
    END LOOP;
    IF cardinality(v_subjects) > 0 THEN
        v_position := lanes.append('u', p_lane, array_fill(8::smallint, ARRAY[cardinality(v_subjects)]), v_subjects,
                                   array_fill(0::bigint, ARRAY[cardinality(v_subjects)]),
                                   array_fill(0::bigint, ARRAY[cardinality(v_subjects)]), v_datas);
    END IF;
    FOR i IN 1..cardinality(v_wishes) LOOP
        RETURN QUERY SELECT v_wishes[i], v_ids[i], v_keys[i], v_told[i], v_position;
    END LOOP;
END $$;
