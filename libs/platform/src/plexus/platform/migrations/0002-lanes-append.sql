-- Give the next positions of a lane to some facts. Call it as late in a transaction as possible: the lane row stays
-- locked until the commit is visible, and that is why position order is visibility order, without holes.
-- The arrays have one element a fact. Returns the first position.

CREATE OR REPLACE FUNCTION lanes.append(
    p_family   "char",
    p_lane     smallint,
    p_kinds    smallint[],
    p_subjects text[],
    p_los      bigint[],
    p_his      bigint[],
    p_datas    bytea[]
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    n     integer := cardinality(p_kinds);
    first bigint;
    part  integer;
BEGIN
    UPDATE lanes.lane AS l SET head = l.head + n
     WHERE l.family = p_family AND l.lane = p_lane
    RETURNING l.head - n + 1, l.segment INTO first, part;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no lane %.%', p_family, p_lane;
    END IF;
    FOR i IN 1 .. n LOOP
        INSERT INTO lanes.fact (family, lane, kind, segment, position, lo, hi, subject, data)
        VALUES (p_family, p_lane, p_kinds[i], part, first + i - 1,
                coalesce(p_los[i], 0), coalesce(p_his[i], 0), p_subjects[i], coalesce(p_datas[i], ''));
    END LOOP;
    RETURN first;
END
$$;
