-- A pass of a search in one call: the user's rooms, their buckets from the newest on, few at first and then more, until
-- there are enough hits, and what of each room found in the user may see. Each statement of its own would cost the
-- service and PostgreSQL more than most of what is done here.
--
-- m_ lanes and positions that the index must have reached: if it has not, `ready` is false and nothing is done.
-- in_rooms, in_not_rooms: (lane << 32) + room. NULL for what is not asked. The first round looks at in_first documents,
-- each next one at four times as many, at most in_buckets buckets; there are at most in_rounds.
--
-- One row. `reached`: everything newer has been looked at (NULL: all has); `cut`: of the last round not everything was
-- read. h_ hits, r_ the rooms they are in, v_ intervals (v_at counts the rooms from 1). NULL for an array with nothing.

CREATE FUNCTION client_api.search_find(
    in_user        text,
    m_lane         smallint[],
    m_position     bigint[],
    in_rooms       bigint[],
    in_not_rooms   bigint[],
    in_query       text,
    in_kinds       smallint[],
    in_senders     text[],
    in_not_senders text[],
    in_has_url     boolean,
    in_ts          bigint,
    in_lane        smallint,
    in_room        integer,
    in_num         bigint,
    in_enough      integer,
    in_most        integer,
    in_first       integer,
    in_buckets     integer,
    in_rounds      integer,
    OUT ready boolean, OUT cut boolean, OUT reached bigint, OUT matched bigint, OUT looked bigint, OUT documents bigint,
    OUT h_ts bigint[], OUT h_lane smallint[], OUT h_room integer[], OUT h_num bigint[], OUT h_sender text[],
    OUT h_rank real[],
    OUT r_lane smallint[], OUT r_room integer[], OUT r_id text[], OUT r_version text[],
    OUT v_at bigint[], OUT v_from bigint[], OUT v_to bigint[], OUT v_membership smallint[], OUT v_visibility text[],
    OUT v_forgotten boolean[]
) LANGUAGE plpgsql STABLE SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    words_query tsquery := in_query::tsquery;
    b_id        bigint[];
    b_lane      smallint[];
    b_fill      integer[];
    b_newest    bigint[];
    have        integer;
    taken       integer := 0;
    start       integer;
    fill        bigint;
    size        bigint := in_first;
    room_left   integer := in_most;
    lanes       smallint[];
    n_ts bigint[]; n_lane smallint[]; n_room integer[]; n_num bigint[]; n_sender text[]; n_rank real[];
    total       bigint;
BEGIN
    ready := true;
    cut := false;
    matched := 0;
    looked := 0;
    IF cardinality(m_lane) > 0 THEN
        SELECT count(*) = cardinality(m_lane) INTO ready
          FROM unnest(m_lane, m_position) AS w (lane, position)
         WHERE (SELECT c.position FROM lanes.cursor c
                 WHERE c.worker = 'search' AND c.shard = 0 AND c.family = 'r' AND c.lane = w.lane) >= w.position;
        IF NOT ready THEN
            RETURN;
        END IF;
    END IF;
    SELECT array_agg(o.id), array_agg(o.lane), array_agg(o.documents), array_agg(o.newest), sum(o.documents), count(*)
      INTO b_id, b_lane, b_fill, b_newest, documents, have
      FROM (SELECT client_api.search_bucket_id(b.lane, b.room, b.bucket) AS id, b.lane, b.documents, b.newest
              FROM rooms.known_to(in_user, 'm.room.encryption') AS q
             CROSS JOIN LATERAL (SELECT s.* FROM client_api.search_bucket s
                                  WHERE s.lane = q.lane AND s.room = q.room AND s.oldest <= in_ts OFFSET 0) AS b
             WHERE (in_rooms IS NULL OR (q.lane::bigint << 32) + q.room = ANY (in_rooms))
               AND (q.lane::bigint << 32) + q.room <> ALL (in_not_rooms)
             ORDER BY b.newest DESC) AS o;
    FOR round IN 1 .. in_rounds LOOP
        EXIT WHEN taken >= have;
        start := taken + 1;
        fill := 0;
        WHILE taken < have AND taken - start + 1 < in_buckets AND fill < size LOOP
            taken := taken + 1;
            fill := fill + b_fill[taken];
        END LOOP;
        looked := looked + fill;
        size := size * 4;
        lanes := b_lane[start : start];
        IF taken > start THEN
            SELECT array_agg(DISTINCT lane) INTO lanes FROM unnest(b_lane[start : taken]) AS lane;
        END IF;
        SELECT array_agg(n.ts), array_agg(n.lane), array_agg(n.room), array_agg(n.num), array_agg(n.sender),
               array_agg(ts_rank(n.words, words_query, 1)), max(n.total)
          INTO n_ts, n_lane, n_room, n_num, n_sender, n_rank, total
          FROM (SELECT d.ts, d.lane, d.room, d.num, d.sender, d.words, count(*) OVER () AS total
                  FROM client_api.search_document AS d
                 WHERE d.lane = ANY (lanes) AND d.bucket && b_id[start : taken] AND d.words @@ words_query
                   AND d.kind = ANY (in_kinds)
                   AND (in_senders IS NULL OR d.sender = ANY (in_senders))
                   AND d.sender <> ALL (in_not_senders)
                   AND (in_has_url IS NULL OR d.has_url = in_has_url)
                   AND (d.ts, d.lane, d.room, d.num) < (in_ts, in_lane, in_room, in_num)
                 ORDER BY d.ts DESC, d.lane DESC, d.room DESC, d.num DESC LIMIT room_left) AS n;
        CONTINUE WHEN total IS NULL;
        matched := matched + total;
        h_ts := h_ts || n_ts;
        h_lane := h_lane || n_lane;
        h_room := h_room || n_room;
        h_num := h_num || n_num;
        h_sender := h_sender || n_sender;
        h_rank := h_rank || n_rank;
        cut := total > cardinality(n_ts);
        EXIT WHEN cut OR taken >= have;
        room_left := greatest(in_most - cardinality(h_ts), 1);
        EXIT WHEN cardinality(h_ts) >= in_enough
              AND (SELECT count(*) FROM unnest(h_ts) AS ts WHERE ts > b_newest[taken + 1]) >= in_enough;
    END LOOP;
    IF taken < have THEN
        reached := b_newest[taken + 1] + 1;
    END IF;
    IF h_ts IS NULL THEN
        RETURN;
    END IF;
    SELECT array_agg(q.lane), array_agg(q.room), array_agg(r.room_id), array_agg(r.room_version)
      INTO r_lane, r_room, r_id, r_version
      FROM (SELECT DISTINCT lane, room FROM unnest(h_lane, h_room) AS h (lane, room)) AS q
      JOIN LATERAL (SELECT * FROM rooms.room r WHERE r.lane = q.lane AND r.room = q.room LIMIT 1) AS r ON true;
    SELECT array_agg(v.i), array_agg(v.from_ordinal), array_agg(v.to_ordinal), array_agg(v.membership),
           array_agg(v.history_visibility), array_agg(v.forgotten)
      INTO v_at, v_from, v_to, v_membership, v_visibility, v_forgotten
      FROM (SELECT * FROM rooms.viewed(in_user, r_lane, r_room) AS w ORDER BY w.i, w.from_ordinal) AS v;
END
$$;
