-- One piece of account data by its owner; p_room '' for global. With p_expected only if the stored one is still that
-- of this position (0: none). What grows is refused beyond p_entries pieces or p_bytes of content in all.
-- result: ok | conflict | too_many | too_large | gone. position: of the ACCOUNT_DATA fact (ok only).
-- depends: 0010-account-data

CREATE OR REPLACE FUNCTION users.change_account_data(
    p_lane smallint, p_user text, p_room text, p_type text, p_content bytea, p_expected bigint,
    p_entries integer, p_bytes bigint,
    OUT result text, OUT "position" bigint
) LANGUAGE plpgsql AS $$
DECLARE
    v_position bigint;
    v_old bigint;
    v_entries bigint;
    v_bytes bigint;
BEGIN
    -- The account's row serialises the changes, so that the limits hold and no change is lost between two others.
    PERFORM FROM users.account a
        WHERE a.lane = p_lane AND a.user_id = p_user AND a.deactivated_ts IS NULL FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        result := 'gone';
        RETURN;
    END IF;
    SELECT d."position", octet_length(d.content) INTO v_position, v_old FROM users.account_data d
        WHERE d.lane = p_lane AND d.user_id = p_user AND d.room_id = p_room AND d.type = p_type;
    IF p_expected <> coalesce(v_position, 0) THEN
        result := 'conflict';
        RETURN;
    END IF;
    IF v_position IS NULL OR octet_length(p_content) > v_old THEN
        SELECT count(*), coalesce(sum(octet_length(d.content)), 0) INTO v_entries, v_bytes
            FROM users.account_data d WHERE d.lane = p_lane AND d.user_id = p_user;
        IF v_position IS NULL AND v_entries >= p_entries THEN
            result := 'too_many';
            RETURN;
        END IF;
        IF v_bytes - coalesce(v_old, 0) + octet_length(p_content) > p_bytes THEN
            result := 'too_large';
            RETURN;
        END IF;
    END IF;
    "position" := users.put_account_data(p_lane, p_user, p_room, p_type, p_content);
    result := 'ok';
END $$;
