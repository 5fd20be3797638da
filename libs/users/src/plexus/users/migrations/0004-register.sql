-- A new account, with its first session when p_device is given, and one use of a registration token when one is
-- given. result: ok | in_use | bad_token.
-- depends: 0003-open-session

CREATE OR REPLACE FUNCTION users.register(
    p_lane smallint, p_user text, p_hash text, p_guest boolean, p_admin boolean, p_now bigint, p_token text,
    p_device text, p_name text, p_access bytea, p_expires bigint, p_refresh bytea
) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM users.account WHERE lane = p_lane AND user_id = p_user) THEN
        RETURN 'in_use';
    END IF;
    INSERT INTO users.account (lane, user_id, password_hash, created_ts, guest, admin)
        VALUES (p_lane, p_user, p_hash, p_now, p_guest, p_admin) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN 'in_use';
    END IF;
    IF p_token IS NOT NULL THEN
        -- The row is shared by all who hold the token, so it is locked last but for the session.
        UPDATE users.registration_token SET uses = uses + 1
            WHERE token = p_token AND (uses_allowed IS NULL OR uses < uses_allowed)
              AND (expires_ts IS NULL OR expires_ts > p_now);
        IF NOT FOUND THEN
            DELETE FROM users.account WHERE lane = p_lane AND user_id = p_user;
            RETURN 'bad_token';
        END IF;
    END IF;
    IF p_device IS NOT NULL THEN
        PERFORM users.open_session(p_lane, p_user, p_device, p_name, p_access, p_expires, p_refresh, p_now, 1);
    END IF;
    RETURN 'ok';
END $$;
