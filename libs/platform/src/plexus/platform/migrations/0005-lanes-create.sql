-- Create the lanes of a new deployment: their rows, two segments, the first generation. Does nothing the second time.
CREATE OR REPLACE FUNCTION lanes.create_deployment(p_room_lanes smallint, p_user_lanes smallint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO lanes.deployment (room_lanes, user_lanes) VALUES (p_room_lanes, p_user_lanes)
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    INSERT INTO lanes.lane (family, lane) SELECT 'r', generate_series(0, p_room_lanes - 1);
    INSERT INTO lanes.lane (family, lane) SELECT 'u', generate_series(0, p_user_lanes - 1);
    PERFORM lanes.make_segment(1);
    PERFORM lanes.make_segment(2);
    UPDATE lanes.segment SET opened = now() WHERE number = 1;
    PERFORM lanes.begin_generation('created');
END
$$;

SELECT lanes.create_deployment(64::smallint, 16::smallint);
