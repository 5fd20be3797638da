-- Devices with all that is theirs: tokens, keys, inbox. p_devices NULL: all of them; p_keep is spared.
-- One REVOKED fact a device, then one DEVICE_LIST if one of them had keys that others know of.
-- depends: 0002-tell

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
