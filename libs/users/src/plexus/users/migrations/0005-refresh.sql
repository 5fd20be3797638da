-- A new pair of tokens for a refresh token. The old pair stays until the new one is used, so that a client that
-- lost the answer can ask again; what it asked for before and never used goes.
-- result: ok | unknown | expired (made before p_oldest). position: of the REVOKED fact, when something was revoked.
-- depends: 0002-tell

CREATE OR REPLACE FUNCTION users.refresh(
    p_lane smallint, p_refresh bytea, p_access bytea, p_expires bigint, p_new_refresh bytea, p_now bigint,
    p_oldest bigint,
    OUT result text, OUT user_id text, OUT device_id text, OUT "position" bigint
) LANGUAGE plpgsql AS $$
DECLARE
    v_user text;
    v_device text;
    v_parent bytea;
    v_created bigint;
    v_revoked boolean := false;
BEGIN
    result := 'unknown';
    SELECT t.user_id, t.device_id INTO v_user, v_device FROM users.token t
        WHERE t.lane = p_lane AND t.refresh = p_refresh;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    -- The device's row serialises what happens to its tokens.
    PERFORM FROM users.device d WHERE d.lane = p_lane AND d.user_id = v_user AND d.device_id = v_device
        FOR NO KEY UPDATE;
    SELECT t.parent, t.created_ts INTO v_parent, v_created FROM users.token t
        WHERE t.lane = p_lane AND t.refresh = p_refresh;
    IF NOT FOUND THEN
        RETURN;
    ELSIF v_created < p_oldest THEN
        result := 'expired';
        RETURN;
    END IF;
    IF v_parent IS NOT NULL THEN
        DELETE FROM users.token t WHERE t.lane = p_lane AND t.refresh = v_parent;
        UPDATE users.token t SET parent = NULL WHERE t.lane = p_lane AND t.refresh = p_refresh;
        v_revoked := true;
    END IF;
    DELETE FROM users.token t
        WHERE t.lane = p_lane AND t.user_id = v_user AND t.device_id = v_device AND t.parent = p_refresh;
    v_revoked := v_revoked OR FOUND;
    INSERT INTO users.token (lane, access, user_id, device_id, created_ts, expires_ts, refresh, parent)
        VALUES (p_lane, p_access, v_user, v_device, p_now, p_expires, p_new_refresh, p_refresh);
    IF v_revoked THEN
        "position" := users.tell(p_lane, v_user, ARRAY[6]::smallint[], ARRAY[convert_to(v_device, 'UTF8')]);
    END IF;
    result := 'ok';
    user_id := v_user;
    device_id := v_device;
END $$;

-- The first use of an access token that came from a refresh: what it replaced is revoked. The position of the
-- REVOKED fact, or NULL if somebody else was first.
CREATE OR REPLACE FUNCTION users.confirm_token(p_lane smallint, p_access bytea)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_user text;
    v_device text;
    v_parent bytea;
BEGIN
    SELECT t.user_id, t.device_id INTO v_user, v_device FROM users.token t
        WHERE t.lane = p_lane AND t.access = p_access;
    PERFORM FROM users.device d WHERE d.lane = p_lane AND d.user_id = v_user AND d.device_id = v_device
        FOR NO KEY UPDATE;
    SELECT t.parent INTO v_parent FROM users.token t WHERE t.lane = p_lane AND t.access = p_access;
    IF v_parent IS NULL THEN
        RETURN NULL;
    END IF;
    UPDATE users.token t SET parent = NULL WHERE t.lane = p_lane AND t.access = p_access;
    DELETE FROM users.token t WHERE t.lane = p_lane AND t.refresh = v_parent;
    RETURN users.tell(p_lane, v_user, ARRAY[6]::smallint[], ARRAY[convert_to(v_device, 'UTF8')]);
END $$;
