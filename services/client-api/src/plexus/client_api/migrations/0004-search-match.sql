-- What matches in these buckets before a key (ts, lane, room, num): the newest, ranked, with how many there are in
-- all. NULL for what is not asked. A function, because it must not go through a whole partition whatever the planner
-- believes of it, and needs no plan of its own each time.

CREATE OR REPLACE FUNCTION client_api.search_match(
    in_query       text,
    in_lanes       smallint[],
    in_buckets     bigint[],
    in_kinds       smallint[],
    in_senders     text[],
    in_not_senders text[],
    in_has_url     boolean,
    in_ts          bigint,
    in_lane        smallint,
    in_room        integer,
    in_num         bigint,
    in_most        integer
) RETURNS TABLE (ts bigint, lane smallint, room integer, num bigint, sender text, "rank" real, total bigint)
LANGUAGE plpgsql STABLE SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
    words_query tsquery := in_query::tsquery;
BEGIN
    RETURN QUERY
        SELECT n.ts, n.lane, n.room, n.num, n.sender, ts_rank(n.words, words_query, 1), n.total
          FROM (SELECT d.ts, d.lane, d.room, d.num, d.sender, d.words, count(*) OVER () AS total
                  FROM client_api.search_document AS d
                 WHERE d.lane = ANY (in_lanes) AND d.bucket && in_buckets AND d.words @@ words_query
                   AND d.kind = ANY (in_kinds)
                   AND (in_senders IS NULL OR d.sender = ANY (in_senders))
                   AND d.sender <> ALL (in_not_senders)
                   AND (in_has_url IS NULL OR d.has_url = in_has_url)
                   AND (d.ts, d.lane, d.room, d.num) < (in_ts, in_lane, in_room, in_num)
                 ORDER BY d.ts DESC, d.lane DESC, d.room DESC, d.num DESC LIMIT in_most) AS n
         ORDER BY n.ts DESC, n.lane DESC, n.room DESC, n.num DESC;
END
$$;
