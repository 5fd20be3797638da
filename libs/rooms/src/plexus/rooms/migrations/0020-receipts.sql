-- How far each user has read each room: one row a user, type of receipt and thread, replaced as they read on.
--
-- position is that of the fact that told of it. A row is written while its lane is locked and never goes back, so
-- whoever reads the rows of a range of positions misses only what has a later position by now.

CREATE TABLE rooms.receipt (
    lane     smallint NOT NULL,
    room     integer  NOT NULL,
    user_id  text     NOT NULL,
    type     smallint NOT NULL,                      -- 1 m.read, 2 m.read.private
    thread   text     NOT NULL,                      -- '' unthreaded, 'main', or the event id of the root
    event_id text     NOT NULL,
    ordinal  bigint   NOT NULL,                      -- the event's place
    sub      integer  NOT NULL,
    ts       bigint   NOT NULL,                      -- milliseconds
    position bigint   NOT NULL,
    PRIMARY KEY (lane, room, user_id, type, thread)
) PARTITION BY LIST (lane);
CREATE INDEX receipt_position ON rooms.receipt (lane, room, position);

DO $$
DECLARE
    lanes text;
BEGIN
    FOR part IN 0 .. 7 LOOP
        SELECT string_agg(lane::text, ', ') INTO lanes FROM generate_series(part * 8, part * 8 + 7) AS lane;
        EXECUTE format('CREATE TABLE rooms.receipt_%s PARTITION OF rooms.receipt FOR VALUES IN (%s)', part, lanes);
        EXECUTE format('ALTER TABLE rooms.receipt_%s SET (fillfactor = 90)', part);
    END LOOP;
END
$$;

-- rooms.put_receipts: the receipts of a lane that came within a moment, in one statement.
--
-- The arrays have one element a receipt; those of a room stand together, and r_datas has an element for each room, in
-- that order: what its fact says. Results:
--   outcomes   0 written, 1 not ahead of the one before, 2 the user is not in the room
--   positions  of the room's fact, or of the one that told of the receipt there is
-- Only what is ahead takes the lane. If all is behind nothing is locked.
CREATE FUNCTION rooms.put_receipts(
    in_lane     smallint,
    r_room      integer[],
    r_room_id   text[],
    r_user      text[],
    r_type      smallint[],
    r_thread    text[],
    r_event_id  text[],
    r_ordinal   bigint[],
    r_sub       integer[],
    r_ts        bigint[],
    r_datas     bytea[],
    OUT outcomes  smallint[],
    OUT positions bigint[]
)
LANGUAGE plpgsql
AS $$
DECLARE
    total    CONSTANT integer := cardinality(r_room);
    fact_of  integer[] := array_fill(0, ARRAY[total]);  -- by receipt: the number of its room's fact
    facts    integer := 0;
    group_no integer := 0;
    group_is text := NULL;
    told     boolean := false;                          -- whether the room has a fact already
    subjects text[] := '{}';
    datas    bytea[] := '{}';
    had      rooms.receipt;
    fact     bigint;
BEGIN
    outcomes := array_fill(0::smallint, ARRAY[total]);
    positions := array_fill(0::bigint, ARRAY[total]);
    FOR i IN 1 .. total LOOP
        IF group_is IS DISTINCT FROM r_room_id[i] THEN
            group_is := r_room_id[i];
            group_no := group_no + 1;
            told := false;
        END IF;
        PERFORM FROM rooms.membership
          WHERE lane = in_lane AND room = r_room[i] AND user_id = r_user[i]
            AND to_ordinal = 9223372036854775807 AND membership = 1;
        IF NOT FOUND THEN
            outcomes[i] := 2;
            CONTINUE;
        END IF;
        SELECT * INTO had FROM rooms.receipt
         WHERE lane = in_lane AND room = r_room[i] AND user_id = r_user[i]
           AND type = r_type[i] AND thread = r_thread[i];
        IF FOUND AND (r_ordinal[i], r_sub[i]) <= (had.ordinal, had.sub) THEN
            outcomes[i] := 1;
            positions[i] := had.position;
            CONTINUE;
        END IF;
        IF NOT told THEN
            told := true;
            facts := facts + 1;
            subjects := subjects || r_room_id[i];
            datas := datas || r_datas[group_no];
        END IF;
        fact_of[i] := facts;
    END LOOP;
    IF facts = 0 THEN
        RETURN;
    END IF;

    -- The lane row, held until the commit. From here on only rows that carry positions.
    fact := lanes.append('r', in_lane, array_fill(3::smallint, ARRAY[facts]), subjects,
                         array_fill(0::bigint, ARRAY[facts]), array_fill(0::bigint, ARRAY[facts]), datas);
    FOR i IN 1 .. total LOOP
        CONTINUE WHEN fact_of[i] = 0;
        positions[i] := fact + fact_of[i] - 1;
        INSERT INTO rooms.receipt AS r (lane, room, user_id, type, thread, event_id, ordinal, sub, ts, position)
        VALUES (in_lane, r_room[i], r_user[i], r_type[i], r_thread[i], r_event_id[i], r_ordinal[i], r_sub[i],
                r_ts[i], positions[i])
        ON CONFLICT (lane, room, user_id, type, thread) DO UPDATE
           SET event_id = excluded.event_id, ordinal = excluded.ordinal, sub = excluded.sub, ts = excluded.ts,
               position = excluded.position
         WHERE (excluded.ordinal, excluded.sub) > (r.ordinal, r.sub);
        IF NOT FOUND THEN
            -- Somebody was further ahead in between. The fact stays, and tells nothing of this one.
            outcomes[i] := 1;
        END IF;
    END LOOP;
END
$$;
