-- A lane knows the timeline that its generation began with, and gives no position on another one: behind a pooler a
-- failover breaks no connection, so nobody would look. Decision 0017.
--
-- `lost`: the head when a generation last began because PostgreSQL had changed, -1 if none has. What lies behind it
-- may be known to some process as it was before the commits were lost.
ALTER TABLE lanes.lane ADD COLUMN timeline integer, ADD COLUMN lost bigint NOT NULL DEFAULT -1;

UPDATE lanes.lane SET timeline = (SELECT timeline FROM lanes.generation ORDER BY number DESC LIMIT 1);

-- Give the next positions of a lane to some facts. Call it as late in a transaction as possible: the lane row stays
-- locked until the commit is visible, and that is why position order is visibility order, without holes.
-- The arrays have one element a fact. Returns the first position.
--
-- SQLSTATE PX001: the generation of the lane has ended, because this is another timeline. Nothing is written; call
-- lanes.renew_generation() and repeat. To look costs 0.9 µs. (The system identifier would cost 17: it is read from a
-- file. So that one is looked at with each new connection only.)
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
    began integer;
BEGIN
    UPDATE lanes.lane AS l SET head = l.head + n
     WHERE l.family = p_family AND l.lane = p_lane
    RETURNING l.head - n + 1, l.segment, l.timeline INTO first, part, began;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no lane %.%', p_family, p_lane;
    END IF;
    IF began IS DISTINCT FROM lanes.timeline() THEN
        RAISE EXCEPTION 'the generation of the lane %.% has ended: it is of timeline %, and this is %',
            p_family, p_lane, began, lanes.timeline() USING ERRCODE = 'PX001';
    END IF;
    FOR i IN 1 .. n LOOP
        INSERT INTO lanes.fact (family, lane, kind, segment, position, lo, hi, subject, data)
        VALUES (p_family, p_lane, p_kinds[i], part, first + i - 1,
                coalesce(p_los[i], 0), coalesce(p_his[i], 0), p_subjects[i], coalesce(p_datas[i], ''));
    END LOOP;
    RETURN first;
END
$$;

-- Begin a new generation and return its id. It holds every lane for a moment, so that each position belongs to one
-- generation. With `p_if_not`, only if that is still the newest; otherwise the newest is returned.
--
-- If PostgreSQL is another one than before, commits may be lost that somebody remembers: rooms made then had numbers,
-- and those are not given again.
CREATE OR REPLACE FUNCTION lanes.begin_generation(p_reason text, p_if_not bigint DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    newest   lanes.generation;
    fresh    bigint;
    here     integer := lanes.timeline();
    us       bigint := (SELECT system_identifier FROM pg_control_system());
    is_other boolean;
BEGIN
    PERFORM FROM lanes.lane ORDER BY family, lane FOR UPDATE;
    SELECT * INTO newest FROM lanes.generation ORDER BY number DESC LIMIT 1;
    IF p_if_not IS NOT NULL AND newest.id IS DISTINCT FROM p_if_not THEN
        RETURN newest.id;
    END IF;
    is_other := newest.id IS NOT NULL AND (newest.timeline, newest.system_id) IS DISTINCT FROM (here, us);
    -- 62 random bits, never 0.
    fresh := (('x' || translate(gen_random_uuid()::text, '-', ''))::bit(64)::bigint & 4611686018427387903) | 1;
    INSERT INTO lanes.generation (id, number, parent, timeline, system_id, reason, room_heads, user_heads)
    VALUES (fresh, coalesce(newest.number, 0) + 1, newest.id, here, us, p_reason,
            (SELECT coalesce(array_agg(head ORDER BY lane), '{}') FROM lanes.lane WHERE family = 'r'),
            (SELECT coalesce(array_agg(head ORDER BY lane), '{}') FROM lanes.lane WHERE family = 'u'));
    UPDATE lanes.lane
       SET generation = fresh, timeline = here,
           lost = CASE WHEN is_other THEN head ELSE lost END,
           rooms = rooms + CASE WHEN is_other AND family = 'r' THEN 1000 ELSE 0 END;
    DELETE FROM lanes.generation WHERE number < newest.number - 1000;
    RETURN fresh;
END
$$;

-- The newest generation; a new one if PostgreSQL's timeline or system is not what that began with.
CREATE OR REPLACE FUNCTION lanes.renew_generation() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    newest lanes.generation;
BEGIN
    SELECT * INTO newest FROM lanes.generation ORDER BY number DESC LIMIT 1;
    IF (newest.timeline, newest.system_id)
       IS NOT DISTINCT FROM (lanes.timeline(), (SELECT system_identifier FROM pg_control_system())) THEN
        RETURN newest.id;
    END IF;
    RETURN lanes.begin_generation('timeline changed', newest.id);
END
$$;
