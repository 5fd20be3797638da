-- A login: the device (made, or kept with its name and keys), its old tokens gone, the new ones in place.
-- result: ok | unknown | deactivated | too_many (devices). position: of the REVOKED fact, when there were tokens to revoke.
-- depends: 0002-tell

CREATE OR REPLACE FUNCTION users.open_session(
    p_lane smallint, p_user text, p_device text, p_name text, p_access bytea, p_expires bigint, p_refresh bytea,
    p_now bigint, p_most bigint, OUT result text, OUT "position" bigint
) LANGUAGE plpgsql AS $$
DECLARE
    v_deactivated bigint;
    v_revoked boolean;
BEGIN
    -- FOR SHARE: a deactivation waits for us, or we see it.
    SELECT a.deactivated_ts INTO v_deactivated FROM users.account a
        WHERE a.lane = p_lane AND a.user_id = p_user FOR SHARE;
    IF NOT FOUND THEN
        result := 'unknown';
        RETURN;
    ELSIF v_deactivated IS NOT NULL THEN
        result := 'deactivated';
        RETURN;
    END IF;
    IF p_most <= (SELECT count(*) FROM users.device d WHERE d.lane = p_lane AND d.user_id = p_user)
       AND NOT EXISTS (SELECT FROM users.device d
                       WHERE d.lane = p_lane AND d.user_id = p_user AND d.device_id = p_device) THEN
        result := 'too_many';
        RETURN;
    END IF;
    INSERT INTO users.device AS d (lane, user_id, device_id, display_name, created_ts)
        VALUES (p_lane, p_user, p_device, p_name, p_now)
        ON CONFLICT (lane, user_id, device_id) DO UPDATE SET display_name = coalesce(d.display_name, p_name);
    DELETE FROM users.token t WHERE t.lane = p_lane AND t.user_id = p_user AND t.device_id = p_device;
    v_revoked := FOUND;
    INSERT INTO users.token (lane, access, user_id, device_id, created_ts, expires_ts, refresh)
        VALUES (p_lane, p_access, p_user, p_device, p_now, p_expires, p_refresh);
    IF v_revoked THEN
        "position" := users.tell(p_lane, p_user, ARRAY[6]::smallint[], ARRAY[convert_to(p_device, 'UTF8')]);
    END IF;
    result := 'ok';
END $$;
