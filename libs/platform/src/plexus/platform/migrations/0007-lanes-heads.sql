-- All heads in one row. Every process looks at them once a second or more, mostly behind a pooler that carries no
-- prepared statements: a function keeps its plan, and one row is read faster than one a lane.
-- STABLE, so all of them are of the snapshot of the statement that calls it.
CREATE OR REPLACE FUNCTION lanes.heads(OUT generation bigint, OUT rooms bigint[], OUT users bigint[])
LANGUAGE plpgsql STABLE AS $$
BEGIN
    SELECT min(l.generation),
           array_agg(l.head ORDER BY l.lane) FILTER (WHERE l.family = 'r'),
           array_agg(l.head ORDER BY l.lane) FILTER (WHERE l.family = 'u')
      INTO generation, rooms, users
      FROM lanes.lane AS l;
END
$$;
