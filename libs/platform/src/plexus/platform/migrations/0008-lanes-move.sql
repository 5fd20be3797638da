-- Cursors of a worker moved from where it believes them to be: all of them, or none and false if another has moved
-- one. c_ are parallel. In the order of lanes, so that two who believe to be the worker wait for one another.
CREATE OR REPLACE FUNCTION lanes.move(
    in_worker     text,
    in_generation bigint,
    c_family      text[],
    c_lane        smallint[],
    c_from        bigint[],
    c_to          bigint[]
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    there integer;
BEGIN
    PERFORM FROM lanes.cursor c
       JOIN unnest(c_family, c_lane, c_from) AS w (family, lane, position)
         ON c.family = w.family::"char" AND c.lane = w.lane AND c.position = w.position
      WHERE c.worker = in_worker AND c.shard = 0 AND c.generation = in_generation
      ORDER BY c.family, c.lane
        FOR UPDATE OF c;
    GET DIAGNOSTICS there = ROW_COUNT;
    IF there <> cardinality(c_lane) THEN
        RETURN false;
    END IF;
    UPDATE lanes.cursor c SET position = w.position
      FROM unnest(c_family, c_lane, c_to) AS w (family, lane, position)
     WHERE c.worker = in_worker AND c.shard = 0 AND c.family = w.family::"char" AND c.lane = w.lane;
    RETURN true;
END
$$;
