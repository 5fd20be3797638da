-- One step of the worker "search" in any number of lanes: some facts of each, and the cursors moved past them. Arrays
-- of one prefix are parallel: c_ the cursors, g_ documents that go, p_ rooms whose history goes up to an ordinal, d_
-- documents that come, those of one room together. False, and nothing done, if a cursor is not where the worker
-- believes. A document that is there already stays as it is, so a step may be repeated.
-- `search_index`, of one lane, is called by the version before.

CREATE OR REPLACE FUNCTION client_api.search_take(
    in_generation bigint,
    in_size       integer,
    c_family      text[],
    c_lane        smallint[],
    c_from        bigint[],
    c_to          bigint[],
    g_lane        smallint[],
    g_room        integer[],
    g_num         bigint[],
    p_lane        smallint[],
    p_room        integer[],
    p_upto        bigint[],
    d_lane        smallint[],
    d_room        integer[],
    d_num         bigint[],
    d_ts          bigint[],
    d_sender      text[],
    d_kind        integer[],
    d_url         integer[],
    d_words       text[]
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    at_lane smallint := -1;
    at_room integer := 0;
    at      integer;
    fill    integer;
    lo      bigint;
    hi      bigint;
BEGIN
    IF NOT lanes.move('search', in_generation, c_family, c_lane, c_from, c_to) THEN
        RETURN false;
    END IF;
    FOR i IN 1 .. cardinality(g_room) LOOP
        DELETE FROM client_api.search_document WHERE lane = g_lane[i] AND room = g_room[i] AND num = g_num[i];
    END LOOP;
    FOR i IN 1 .. cardinality(p_room) LOOP
        DELETE FROM client_api.search_document WHERE lane = p_lane[i] AND room = p_room[i] AND num <= p_upto[i];
    END LOOP;
    FOR i IN 1 .. cardinality(d_room) LOOP
        IF d_lane[i] <> at_lane OR d_room[i] <> at_room THEN
            at_lane := d_lane[i];
            at_room := d_room[i];
            SELECT bucket, documents, oldest, newest INTO at, fill, lo, hi FROM client_api.search_bucket
             WHERE lane = at_lane AND room = at_room ORDER BY bucket DESC LIMIT 1;
            IF NOT FOUND THEN
                at := 0;
                fill := 0;
                lo := NULL;
                hi := NULL;
            END IF;
        END IF;
        IF fill >= in_size THEN
            at := at + 1;
            fill := 0;
            lo := NULL;
            hi := NULL;
        END IF;
        INSERT INTO client_api.search_document (lane, room, num, ts, sender, kind, has_url, bucket, words)
        VALUES (at_lane, at_room, d_num[i], d_ts[i], d_sender[i], d_kind[i], d_url[i] = 1,
                ARRAY[client_api.search_bucket_id(at_lane, at_room, at)], d_words[i]::tsvector)
        ON CONFLICT DO NOTHING;
        IF FOUND THEN
            fill := fill + 1;
            lo := least(lo, d_ts[i]);
            hi := greatest(hi, d_ts[i]);
        END IF;
        IF fill > 0 AND (fill >= in_size OR i = cardinality(d_room)
                         OR d_lane[i + 1] <> at_lane OR d_room[i + 1] <> at_room) THEN
            INSERT INTO client_api.search_bucket AS b (lane, room, bucket, documents, oldest, newest)
            VALUES (at_lane, at_room, at, fill, lo, hi)
            ON CONFLICT (lane, room, bucket) DO UPDATE
               SET documents = excluded.documents, oldest = excluded.oldest, newest = excluded.newest;
        END IF;
    END LOOP;
    RETURN true;
END
$$;
