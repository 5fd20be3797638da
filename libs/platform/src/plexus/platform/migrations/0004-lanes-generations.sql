-- PostgreSQL's timeline now. Not the one of the last checkpoint: this changes in the moment of a promotion.
CREATE OR REPLACE FUNCTION lanes.timeline() RETURNS integer LANGUAGE sql AS $$
    SELECT ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::integer
$$;

-- Begin a new generation and return its id. It holds every lane for a moment, so that each position belongs to one
-- generation. With `p_if_not`, only if that is still the newest; otherwise the newest is returned.
CREATE OR REPLACE FUNCTION lanes.begin_generation(p_reason text, p_if_not bigint DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    newest lanes.generation;
    fresh  bigint;
BEGIN
    PERFORM FROM lanes.lane ORDER BY family, lane FOR UPDATE;
    SELECT * INTO newest FROM lanes.generation ORDER BY number DESC LIMIT 1;
    IF p_if_not IS NOT NULL AND newest.id IS DISTINCT FROM p_if_not THEN
        RETURN newest.id;
    END IF;
    -- 62 random bits, never 0.
    fresh := (('x' || translate(gen_random_uuid()::text, '-', ''))::bit(64)::bigint & 4611686018427387903) | 1;
    INSERT INTO lanes.generation (id, number, parent, timeline, system_id, reason, room_heads, user_heads)
    VALUES (fresh, coalesce(newest.number, 0) + 1, newest.id, lanes.timeline(),
            (SELECT system_identifier FROM pg_control_system()), p_reason,
            (SELECT coalesce(array_agg(head ORDER BY lane), '{}') FROM lanes.lane WHERE family = 'r'),
            (SELECT coalesce(array_agg(head ORDER BY lane), '{}') FROM lanes.lane WHERE family = 'u'));
    UPDATE lanes.lane SET generation = fresh;
    DELETE FROM lanes.generation WHERE number < newest.number - 1000;
    RETURN fresh;
END
$$;
