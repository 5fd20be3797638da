-- A new password, and the other devices logged out with it. result: ok | unknown.
-- depends: 0006-delete-devices

CREATE OR REPLACE FUNCTION users.change_password(
    p_lane smallint, p_user text, p_hash text, p_logout boolean, p_keep text,
    OUT result text, OUT deleted text[], OUT had_keys boolean, OUT "position" bigint
) LANGUAGE plpgsql AS $$
BEGIN
    UPDATE users.account a SET password_hash = p_hash
        WHERE a.lane = p_lane AND a.user_id = p_user AND a.deactivated_ts IS NULL;
    IF NOT FOUND THEN
        result := 'unknown';
        RETURN;
    END IF;
    result := 'ok';
    deleted := '{}';
    had_keys := false;
    IF p_logout THEN
        SELECT d.deleted, d.had_keys, d."position" INTO deleted, had_keys, "position"
            FROM users.delete_devices(p_lane, p_user, NULL, p_keep) d;
    END IF;
END $$;
