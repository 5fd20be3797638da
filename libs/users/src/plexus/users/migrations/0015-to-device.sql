-- Messages for devices of one lane: parallel arrays of recipient, device ('*': all devices of the user) and event.
-- One TO_DEVICE fact a message; its position is the message's sequence. Messages for devices that do not exist are
-- dropped. The position of the first fact.
-- depends: 0002-tell

CREATE OR REPLACE FUNCTION users.put_messages(
    p_lane smallint, p_users text[], p_devices text[], p_events bytea[]
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_first bigint;
    v_datas bytea[] := '{}';
BEGIN
    FOR i IN 1..cardinality(p_users) LOOP
        v_datas := v_datas || CASE WHEN p_devices[i] = '*' THEN ''::bytea ELSE convert_to(p_devices[i], 'UTF8') END;
    END LOOP;
    v_first := lanes.append('u', p_lane, array_fill(4::smallint, ARRAY[cardinality(p_users)]), p_users,
                            array_fill(0::bigint, ARRAY[cardinality(p_users)]),
                            array_fill(0::bigint, ARRAY[cardinality(p_users)]), v_datas);
    FOR i IN 1..cardinality(p_users) LOOP
        INSERT INTO users.to_device (lane, user_id, device_id, sequence, event)
            SELECT p_lane, p_users[i], d.device_id, v_first + i - 1, p_events[i] FROM users.device d
            WHERE d.lane = p_lane AND d.user_id = p_users[i]
              AND (p_devices[i] = '*' OR d.device_id = p_devices[i]);
    END LOOP;
    RETURN v_first;
END $$;
