-- Full-text search: one document an event that can be found, in buckets of about a thousand documents of one room.
-- Both are made by the worker "search", which follows the room lanes; decision 0027. Times in milliseconds.

CREATE TABLE client_api.search_document (
    lane    smallint NOT NULL,
    room    integer  NOT NULL,
    num     bigint   NOT NULL,                       -- the event's number in its room
    ts      bigint   NOT NULL,                       -- what its sender says, but not later than it was indexed
    sender  text     NOT NULL,
    kind    smallint NOT NULL,                       -- 1 content.body, 2 content.name, 3 content.topic
    has_url boolean  NOT NULL,
    bucket  bigint[] NOT NULL,                       -- its one bucket: an array, because GIN takes no plain number
    words   tsvector NOT NULL,
    PRIMARY KEY (lane, room, num)
) PARTITION BY LIST (lane);

-- Both in one index: a common word is looked for only within the buckets that are asked for.
CREATE INDEX search_document_words ON client_api.search_document USING gin (bucket, words)
    WITH (fastupdate = off);

CREATE TABLE client_api.search_bucket (
    lane      smallint NOT NULL,
    room      integer  NOT NULL,
    bucket    integer  NOT NULL,                     -- counts from 0 in its room
    documents integer  NOT NULL,
    oldest    bigint   NOT NULL,
    newest    bigint   NOT NULL,
    PRIMARY KEY (lane, room, bucket)
) PARTITION BY LIST (lane);

DO $$
DECLARE
    parent text;
    lanes  text;
BEGIN
    FOREACH parent IN ARRAY ARRAY['search_document', 'search_bucket'] LOOP
        FOR part IN 0 .. 7 LOOP
            SELECT string_agg(lane::text, ', ') INTO lanes FROM generate_series(part * 8, part * 8 + 7) AS lane;
            EXECUTE format('CREATE TABLE client_api.%I PARTITION OF client_api.%I FOR VALUES IN (%s)',
                           parent || '_' || part, parent, lanes);
            IF parent = 'search_bucket' THEN
                EXECUTE format('ALTER TABLE client_api.%I SET (fillfactor = 60)', parent || '_' || part);
            END IF;
        END LOOP;
    END LOOP;
END
$$;

-- The bucket as the documents name it: unique in the deployment.
CREATE FUNCTION client_api.search_bucket_id(in_lane smallint, in_room integer, in_bucket integer) RETURNS bigint
LANGUAGE sql IMMUTABLE AS $$
    SELECT (in_lane::bigint << 51) | (in_room::bigint << 20) | in_bucket
$$;
