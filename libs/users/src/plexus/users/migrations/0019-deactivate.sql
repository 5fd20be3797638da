-- The end of an account: no password, no devices, no email addresses, and rooms to leave (a room task). The user ID
-- stays taken. Facts: those of delete_devices, then REVOKED for all and DEACTIVATED. result: ok | gone.
-- depends: 0006-delete-devices, 0018-threepid

CREATE OR REPLACE FUNCTION users.deactivate(
    p_lane smallint, p_user text, p_erase boolean, p_now bigint,
    OUT result text, OUT deleted text[], OUT had_keys boolean, OUT "position" bigint, OUT last bigint
) LANGUAGE plpgsql AS $$
BEGIN
    UPDATE users.account a SET deactivated_ts = p_now, password_hash = NULL, erased = p_erase
        WHERE a.lane = p_lane AND a.user_id = p_user AND a.deactivated_ts IS NULL;
    IF NOT FOUND THEN
        result := 'gone';
        RETURN;
    END IF;
    DELETE FROM users.profile p WHERE p.lane = p_lane AND p.user_id = p_user;
    DELETE FROM users.account_data d WHERE d.lane = p_lane AND d.user_id = p_user;
    DELETE FROM users.push_rules r WHERE r.lane = p_lane AND r.user_id = p_user;
    DELETE FROM users.filter f WHERE f.lane = p_lane AND f.user_id = p_user;
    DELETE FROM users.threepid t WHERE t.user_id = p_user;
    DELETE FROM users.room_task r WHERE r.lane = p_lane AND r.user_id = p_user;
    INSERT INTO users.room_task (lane, user_id, kind, version, lease_until) VALUES (p_lane, p_user, 'leave', 1, 0);
    SELECT d.deleted, d.had_keys, d."position" INTO deleted, had_keys, "position"
        FROM users.delete_devices(p_lane, p_user, NULL, NULL) d;
    last := users.tell(p_lane, p_user, ARRAY[6, 9]::smallint[], ARRAY['', '']::bytea[]);
    result := 'ok';
END $$;
