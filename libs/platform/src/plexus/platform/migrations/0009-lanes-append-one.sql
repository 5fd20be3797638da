-- lanes.append for one fact: no arrays, which cost as much as the rows. Here too the lane row stays locked until the
-- commit is visible, and SQLSTATE PX001 says that the generation of the lane has ended. `head` is the position of the
-- fact; `lost` as in lanes.lane.
CREATE FUNCTION lanes.append_one(
    p_family   "char",
    p_lane     smallint,
    p_kind     smallint,
    p_subject  text,
    p_lo       bigint,
    p_hi       bigint,
    p_data     bytea,
    OUT head bigint,
    OUT lost bigint
) LANGUAGE plpgsql AS $$
DECLARE
    part  integer;
    began integer;
BEGIN
    UPDATE lanes.lane AS l SET head = l.head + 1
     WHERE l.family = p_family AND l.lane = p_lane
    RETURNING l.head, l.lost, l.segment, l.timeline INTO append_one.head, append_one.lost, part, began;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no lane %.%', p_family, p_lane;
    END IF;
    IF began IS DISTINCT FROM lanes.timeline() THEN
        RAISE EXCEPTION 'the generation of the lane %.% has ended: it is of timeline %, and this is %',
            p_family, p_lane, began, lanes.timeline() USING ERRCODE = 'PX001';
    END IF;
    INSERT INTO lanes.fact (family, lane, kind, segment, position, lo, hi, subject, data)
    VALUES (p_family, p_lane, p_kind, part, append_one.head, p_lo, p_hi, p_subject, p_data);
END
$$;
