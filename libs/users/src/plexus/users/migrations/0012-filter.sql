-- The number of a filter; the same definition has one number. NULL when the user has p_limit of them.
-- depends: 0001-tables

CREATE OR REPLACE FUNCTION users.put_filter(
    p_lane smallint, p_user text, p_hash bytea, p_definition bytea, p_limit integer
) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    v_num integer;
BEGIN
    SELECT f.num INTO v_num FROM users.filter f WHERE f.lane = p_lane AND f.user_id = p_user AND f.hash = p_hash;
    IF FOUND THEN
        RETURN v_num;
    END IF;
    PERFORM FROM users.account a WHERE a.lane = p_lane AND a.user_id = p_user FOR NO KEY UPDATE;
    SELECT f.num INTO v_num FROM users.filter f WHERE f.lane = p_lane AND f.user_id = p_user AND f.hash = p_hash;
    IF FOUND THEN
        RETURN v_num;
    END IF;
    SELECT coalesce(max(f.num) + 1, 0) INTO v_num FROM users.filter f WHERE f.lane = p_lane AND f.user_id = p_user;
    IF v_num >= p_limit THEN
        RETURN NULL;
    END IF;
    INSERT INTO users.filter (lane, user_id, num, hash, definition)
        VALUES (p_lane, p_user, v_num, p_hash, p_definition);
    RETURN v_num;
END $$;
