-- A device's name. Others see it beside its keys, so they are told when it has some.
-- result: ok | unknown. position: of the DEVICE_LIST fact.
-- depends: 0002-tell

CREATE OR REPLACE FUNCTION users.rename_device(
    p_lane smallint, p_user text, p_device text, p_name text, OUT result text, OUT "position" bigint
) LANGUAGE plpgsql AS $$
BEGIN
    UPDATE users.device d SET display_name = p_name
        WHERE d.lane = p_lane AND d.user_id = p_user AND d.device_id = p_device;
    IF NOT FOUND THEN
        result := 'unknown';
        RETURN;
    END IF;
    IF EXISTS (SELECT FROM users.device_key k
               WHERE k.lane = p_lane AND k.user_id = p_user AND k.device_id = p_device) THEN
        "position" := users.tell(p_lane, p_user, ARRAY[3]::smallint[], ARRAY['']::bytea[]);
    END IF;
    result := 'ok';
END $$;

-- When and from where devices of one lane were last seen, many at once. Nobody is told.
CREATE OR REPLACE FUNCTION users.touch_devices(
    p_lane smallint, p_users text[], p_devices text[], p_times bigint[], p_ips text[]
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1..cardinality(p_users) LOOP
        UPDATE users.device SET last_seen_ts = p_times[i], last_seen_ip = coalesce(p_ips[i], last_seen_ip)
            WHERE lane = p_lane AND user_id = p_users[i] AND device_id = p_devices[i]
              AND (last_seen_ts IS NULL OR last_seen_ts < p_times[i]);
    END LOOP;
END $$;
