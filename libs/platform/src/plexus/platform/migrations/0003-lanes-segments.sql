-- Segments of the facts. These functions run with the rights of their owner: the writers have none to make or drop
-- tables. Each is short and may be repeated.

-- Make a segment's partition ready. ATTACH, unlike CREATE ... PARTITION OF, does not stop the writers.
CREATE OR REPLACE FUNCTION lanes.make_segment(p_number integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO lanes.segment (number) VALUES (p_number) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    EXECUTE format('CREATE TABLE lanes.%I (LIKE lanes.fact INCLUDING DEFAULTS INCLUDING CONSTRAINTS)',
                   'fact_' || p_number);
    EXECUTE format('ALTER TABLE lanes.fact ATTACH PARTITION lanes.%I FOR VALUES FROM (%s) TO (%s)',
                   'fact_' || p_number, p_number, p_number + 1);
END
$$;

-- From now on the lane's facts go into this segment. One lane a call: no transaction holds two lanes.
CREATE OR REPLACE FUNCTION lanes.open_segment(p_family "char", p_lane smallint, p_number integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE lanes.segment SET opened = now() WHERE number = p_number AND opened IS NULL;
    IF NOT FOUND AND NOT EXISTS (SELECT FROM lanes.segment WHERE number = p_number) THEN
        RAISE EXCEPTION 'segment % is not made yet', p_number;
    END IF;
    UPDATE lanes.lane SET segment = p_number
     WHERE family = p_family AND lane = p_lane AND segment < p_number;
END
$$;

-- Raise the floor of a lane above a segment, some time before the segment is dropped: readers look at the floor.
CREATE OR REPLACE FUNCTION lanes.close_segment(p_family "char", p_lane smallint, p_number integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    last bigint;
BEGIN
    SELECT max(position) INTO last FROM lanes.fact
     WHERE family = p_family AND lane = p_lane AND segment <= p_number;
    UPDATE lanes.lane SET floor = last
     WHERE family = p_family AND lane = p_lane AND floor < last AND segment > p_number;
    RETURN last;
END
$$;

-- Drop a segment that no lane writes to and every floor is above. It needs all writers to stop for a moment, so it
-- gives up after 200 ms and is tried again later. True if the segment is gone.
CREATE OR REPLACE FUNCTION lanes.drop_segment(p_number integer) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' AS $$
BEGIN
    IF EXISTS (SELECT FROM lanes.lane WHERE segment <= p_number) THEN
        RAISE EXCEPTION 'segment % is in use', p_number;
    END IF;
    EXECUTE format('DROP TABLE IF EXISTS lanes.%I', 'fact_' || p_number);
    DELETE FROM lanes.segment WHERE number = p_number;
    RETURN true;
EXCEPTION WHEN lock_not_available THEN
    RETURN false;
END
$$;
