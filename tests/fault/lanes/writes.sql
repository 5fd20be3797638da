-- How the writers of the proof write: one sound way, and two that break the rule of the lanes in a plausible way.
-- Each write leaves a row per fact in proof.row, besides the facts themselves.

CREATE SCHEMA proof;
CREATE TABLE proof.row (subject text PRIMARY KEY);

-- Wait a while, now and then: what a large write or a busy disk does.
CREATE FUNCTION proof.dawdle() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF random() < 0.1 THEN
        PERFORM pg_sleep(random() * 0.06);
    END IF;
END
$$;

-- The rule: first the writes, then the position, whose lock is kept until the commit is visible.
CREATE FUNCTION proof.sound(p_family "char", p_lane smallint, p_subjects text[], p_fails boolean) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    n     integer := cardinality(p_subjects);
    first bigint;
BEGIN
    INSERT INTO proof.row SELECT unnest(p_subjects);
    PERFORM proof.dawdle();
    first := lanes.append(p_family, p_lane, array_fill(1::smallint, ARRAY[n]), p_subjects,
                          array_fill(0::bigint, ARRAY[n]), array_fill(0::bigint, ARRAY[n]),
                          array_fill(''::bytea, ARRAY[n]));
    PERFORM proof.dawdle();
    IF p_fails THEN
        RAISE EXCEPTION 'this write fails';
    END IF;
    RETURN first;
END
$$;

-- Broken: the position comes before the writes, from something that no lock keeps (a sequence). One fact a write.
CREATE FUNCTION proof.early(p_family "char", p_lane smallint, p_subjects text[], p_fails boolean) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    n        integer := cardinality(p_subjects);
    first    bigint;
    sequence regclass := format('proof.position_%s_%s', p_family, p_lane);
BEGIN
    first := nextval(sequence);
    PERFORM proof.dawdle();
    INSERT INTO proof.row SELECT unnest(p_subjects);
    FOR i IN 1 .. n LOOP
        INSERT INTO lanes.fact (family, lane, kind, segment, position, lo, hi, subject, data)
        VALUES (p_family, p_lane, 1, 1, first + i - 1, 0, 0, p_subjects[i], '');
    END LOOP;
    IF p_fails THEN
        RAISE EXCEPTION 'this write fails';
    END IF;
    UPDATE lanes.lane SET head = greatest(head, first + n - 1) WHERE family = p_family AND lane = p_lane;
    RETURN first;
END
$$;

-- Broken: the position is taken under the lane's lock, but in a transaction of its own (`reserve`), so that the lock
-- is given back before the facts are there.
CREATE FUNCTION proof.reserve(p_family "char", p_lane smallint, p_count integer) RETURNS bigint LANGUAGE sql AS $$
    UPDATE lanes.lane SET head = head + p_count WHERE family = p_family AND lane = p_lane
    RETURNING head - p_count + 1
$$;

CREATE FUNCTION proof.released(p_family "char", p_lane smallint, p_first bigint, p_subjects text[], p_fails boolean)
RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO proof.row SELECT unnest(p_subjects);
    PERFORM proof.dawdle();
    FOR i IN 1 .. cardinality(p_subjects) LOOP
        INSERT INTO lanes.fact (family, lane, kind, segment, position, lo, hi, subject, data)
        VALUES (p_family, p_lane, 1, 1, p_first + i - 1, 0, 0, p_subjects[i], '');
    END LOOP;
    IF p_fails THEN
        RAISE EXCEPTION 'this write fails';
    END IF;
    RETURN p_first;
END
$$;

DO $$
BEGIN
    FOR lane IN 0 .. 7 LOOP
        EXECUTE format('CREATE SEQUENCE proof.position_r_%s', lane);
        EXECUTE format('CREATE SEQUENCE proof.position_u_%s', lane);
    END LOOP;
END
$$;
GRANT UPDATE ON ALL SEQUENCES IN SCHEMA proof TO plexus_writer;
