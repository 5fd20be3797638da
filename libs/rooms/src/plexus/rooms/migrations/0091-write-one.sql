-- rooms.write for what is written most: one event of this server at the end of a room that has not forked, which is no
-- state, relates to nothing, takes nothing away and notifies nobody otherwise than the default push rules say. Without
-- rooms.write's arrays and loops it costs PostgreSQL a third less.
--
-- The position of the event, or NULL: nothing is written, and rooms.write will say why (another version of the room, a
-- room that is locked, a transaction ID that was used, an event that is there already).
CREATE FUNCTION rooms.write_one(
    in_lane     smallint,
    in_room     integer,
    in_version  bigint,              -- that the event is built upon
    in_num      bigint,
    in_event_id text,
    in_type     text,
    in_sender   text,
    in_depth    bigint,
    in_ts       bigint,
    in_snapshot integer,             -- the room's state, before and after
    in_prev     bigint[],
    in_auth     bigint[],
    in_device   text,                -- these three are NULL without a transaction ID
    in_endpoint text,
    in_txn      text,
    in_raw      bytea,
    in_notify   smallint             -- the default push rule by which it notifies, by number; 0: by none
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    was record;
    fact record;
BEGIN
    SELECT room_id, head_position, notified + (in_notify <> 0)::integer AS notified INTO was FROM rooms.room
     WHERE lane = in_lane AND room = in_room AND version = in_version
       FOR NO KEY UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;

    INSERT INTO rooms.event (lane, room, num, ordinal, event_id, type, sender, depth, origin_server_ts,
                             snap_before, snap_after, prev, auth, txn_device, txn_id, raw, notify, notified, sent)
    VALUES (in_lane, in_room, in_num, in_num, in_event_id, in_type, in_sender, in_depth, in_ts,
            in_snapshot, in_snapshot, in_prev, in_auth, in_device, in_txn, in_raw,
            nullif(in_notify, 0), was.notified, nullif(in_type <> 'm.room.member', false))
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    IF in_txn IS NOT NULL THEN
        INSERT INTO rooms.txn (lane, room, user_id, device_id, endpoint, txn_id, num, ts)
        VALUES (in_lane, in_room, in_sender, in_device, in_endpoint, in_txn, in_num, in_ts)
        ON CONFLICT DO NOTHING;
        IF NOT FOUND THEN
            DELETE FROM rooms.event WHERE lane = in_lane AND room = in_room AND num = in_num;
            RETURN NULL;
        END IF;
    END IF;

    -- The lane row, held until the commit. From here on only rows that carry positions.
    SELECT appended.head, appended.lost INTO fact
      FROM lanes.append_one('r', in_lane, 1::smallint, was.room_id, in_num, in_num, '') AS appended;
    UPDATE rooms.room
       SET version = in_version + 1
                     + CASE WHEN was.head_position <= fact.lost THEN (random() * 1099511627776)::bigint ELSE 0 END,
           head_num = in_num, head_ordinal = greatest(head_ordinal, in_num), head_position = fact.head,
           depth = in_depth, extremities = ARRAY[in_num], notified = was.notified
     WHERE lane = in_lane AND room = in_room;
    RETURN fact.head;
END
$$;
