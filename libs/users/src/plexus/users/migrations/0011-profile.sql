-- One field of a profile, p_value NULL to delete it. With p_task the rooms are owed an update.
-- result: ok | unchanged | too_large | gone. position: of the PROFILE fact (ok only).
-- depends: 0002-tell

CREATE OR REPLACE FUNCTION users.set_profile(
    p_lane smallint, p_user text, p_field text, p_value bytea, p_limit integer, p_task boolean,
    OUT result text, OUT "position" bigint
) LANGUAGE plpgsql AS $$
DECLARE
    v_old bytea;
    v_size bigint;
BEGIN
    -- The account's row serialises the changes to a profile, so that the limit holds for its sum.
    PERFORM FROM users.account a
        WHERE a.lane = p_lane AND a.user_id = p_user AND a.deactivated_ts IS NULL FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        result := 'gone';
        RETURN;
    END IF;
    SELECT p.value INTO v_old FROM users.profile p
        WHERE p.lane = p_lane AND p.user_id = p_user AND p.field = p_field;
    IF v_old IS NOT DISTINCT FROM p_value THEN
        result := 'unchanged';
        RETURN;
    END IF;
    IF p_value IS NULL THEN
        DELETE FROM users.profile p WHERE p.lane = p_lane AND p.user_id = p_user AND p.field = p_field;
    ELSE
        -- As it stands in JSON: two quotes, a colon and a comma a field, and the braces.
        SELECT coalesce(sum(octet_length(p.field) + octet_length(p.value) + 4), 0) INTO v_size FROM users.profile p
            WHERE p.lane = p_lane AND p.user_id = p_user AND p.field <> p_field;
        IF v_size + octet_length(p_field) + octet_length(p_value) + 5 > p_limit THEN
            result := 'too_large';
            RETURN;
        END IF;
        INSERT INTO users.profile (lane, user_id, field, value) VALUES (p_lane, p_user, p_field, p_value)
            ON CONFLICT (lane, user_id, field) DO UPDATE SET value = excluded.value;
    END IF;
    IF p_task THEN
        INSERT INTO users.room_task AS t (lane, user_id, kind, version, lease_until)
            VALUES (p_lane, p_user, 'profile', 1, 0)
            ON CONFLICT (lane, user_id, kind) DO UPDATE SET version = t.version + 1;
    END IF;
    "position" := users.tell(p_lane, p_user, ARRAY[5]::smallint[], ARRAY[convert_to(p_field, 'UTF8')]);
    result := 'ok';
END $$;
