-- depends: 0002-tell

-- One piece of account data; p_room '' for global. The position of the fact.
CREATE OR REPLACE FUNCTION users.put_account_data(
    p_lane smallint, p_user text, p_room text, p_type text, p_content bytea
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_position bigint;
BEGIN
    v_position := users.tell(p_lane, p_user, ARRAY[1]::smallint[], ARRAY[convert_to(p_room, 'UTF8')]);
    INSERT INTO users.account_data (lane, user_id, room_id, type, content, position)
        VALUES (p_lane, p_user, p_room, p_type, p_content, v_position)
        ON CONFLICT (lane, user_id, room_id, type)
        DO UPDATE SET content = excluded.content, position = excluded.position;
    RETURN v_position;
END $$;

-- A user's changes to the push rules, if the stored ones are still those of p_expected (0: none). The position of
-- the fact, or NULL when somebody else was first.
CREATE OR REPLACE FUNCTION users.put_push_rules(
    p_lane smallint, p_user text, p_rules bytea, p_expected bigint
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_position bigint;
BEGIN
    INSERT INTO users.push_rules (lane, user_id, rules, position) VALUES (p_lane, p_user, '{}', 0)
        ON CONFLICT DO NOTHING;
    SELECT r.position INTO v_position FROM users.push_rules r
        WHERE r.lane = p_lane AND r.user_id = p_user FOR NO KEY UPDATE;
    IF v_position <> p_expected THEN
        RETURN NULL;
    END IF;
    v_position := users.tell(p_lane, p_user, ARRAY[2]::smallint[], ARRAY['']::bytea[]);
    UPDATE users.push_rules r SET rules = p_rules, position = v_position
        WHERE r.lane = p_lane AND r.user_id = p_user;
    RETURN v_position;
END $$;
