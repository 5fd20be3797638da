-- A guest becomes a user: the account is theirs, with a password and all that they have, and one use of a registration
-- token when one is given. With p_device comes a session; the guest's own goes on.
-- result: ok | gone (no guest by that name) | bad_token. position: of the REVOKED fact for all devices, because
-- whoever remembers the guest's token must read again what it permits.
-- depends: 0036-guests

CREATE OR REPLACE FUNCTION users.upgrade_guest(
    p_lane smallint, p_user text, p_hash text, p_now bigint, p_token text,
    p_device text, p_name text, p_access bytea, p_expires bigint, p_refresh bytea, p_most bigint,
    OUT result text, OUT "position" bigint
) LANGUAGE plpgsql AS $$
BEGIN
    UPDATE users.account a SET guest = false, password_hash = p_hash
        WHERE a.lane = p_lane AND a.user_id = p_user AND a.guest AND a.deactivated_ts IS NULL;
    IF NOT FOUND THEN
        result := 'gone';
        RETURN;
    END IF;
    IF p_token IS NOT NULL THEN
        UPDATE users.registration_token SET uses = uses + 1
            WHERE token = p_token AND (uses_allowed IS NULL OR uses < uses_allowed)
              AND (expires_ts IS NULL OR expires_ts > p_now);
        IF NOT FOUND THEN
            UPDATE users.account a SET guest = true, password_hash = NULL
                WHERE a.lane = p_lane AND a.user_id = p_user;
            result := 'bad_token';
            RETURN;
        END IF;
    END IF;
    IF p_device IS NOT NULL THEN
        PERFORM users.open_session(
            p_lane, p_user, p_device, p_name, p_access, p_expires, p_refresh, p_now, p_most);
    END IF;
    "position" := users.tell(p_lane, p_user, ARRAY[6]::smallint[], ARRAY['']::bytea[]);
    result := 'ok';
END $$;
