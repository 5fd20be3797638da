-- Account data that only goes forward: the place up to which a room is fully read.
-- depends: 0002-tell

ALTER TABLE users.account_data ADD COLUMN place bigint;
COMMENT ON COLUMN users.account_data.place IS 'the ordinal of the event that it names, for what only goes forward';

-- m.fully_read of a room. The position of the fact; if the marker is there or ahead, that of its own.
CREATE OR REPLACE FUNCTION users.put_fully_read(
    p_lane smallint, p_user text, p_room text, p_content bytea, p_place bigint
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_position bigint;
BEGIN
    SELECT a.position INTO v_position FROM users.account_data a
        WHERE a.lane = p_lane AND a.user_id = p_user AND a.room_id = p_room AND a.type = 'm.fully_read'
          AND a.place >= p_place;
    IF FOUND THEN
        RETURN v_position;
    END IF;
    v_position := users.tell(p_lane, p_user, ARRAY[1]::smallint[], ARRAY[convert_to(p_room, 'UTF8')]);
    INSERT INTO users.account_data AS a (lane, user_id, room_id, type, content, position, place)
        VALUES (p_lane, p_user, p_room, 'm.fully_read', p_content, v_position, p_place)
        ON CONFLICT (lane, user_id, room_id, type)
        DO UPDATE SET content = excluded.content, position = excluded.position, place = excluded.place
        WHERE a.place IS NULL OR a.place < excluded.place;
    RETURN v_position;
END $$;
