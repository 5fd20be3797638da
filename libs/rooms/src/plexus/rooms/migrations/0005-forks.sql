-- Rooms whose history forks: events that came from other servers, and states that were resolved.
--
-- A live event also knows the room's current state around it, where that is another than the state before and after
-- the event itself. NULL says that it is the same: so it is as long as each event follows the one before.

ALTER TABLE rooms.event ADD COLUMN room_before integer;
ALTER TABLE rooms.event ADD COLUMN room_after integer;
COMMENT ON COLUMN rooms.event.room_before IS 'snapshot of the current state before a live event; NULL: snap_before';
COMMENT ON COLUMN rooms.event.room_after IS 'snapshot of the current state after a live event; NULL: snap_after';

-- rooms.write: a group of room writes of one lane, in one statement.
--
-- Each room brings events built upon a version of the room. Arrays of one prefix are parallel:
--   r_ one element a room; those with r_room 0 are new, come last, and take the next element of n_
--   n_ one element a new room
--   e_ one element an event, those of the first room first; e_prevs and e_auths say how many elements of edges
--      are this event's prev_events, and after them its auth_events
--   k_ new state keys, s_ new snapshots, c_ changes of the current state, p_ new pages, m_ changes of membership, v_ of
--      the history visibility, x_ redactions that take effect: each belongs to the event whose index in e_ is *_event
--
-- Some arrays are empty, or have NULL, where a room is as most are, a chain that begins at the room's one extremity:
--   r_ends, r_depth   how many elements of ends are the room's extremities from now on, and their greatest depth
--                     (the last event, its depth)
--   e_room_before, e_room_after   the room's current state around the event (that of the event)
--   e_flags           1 rejected, 2 soft-failed: then the event has no ordinal (0)
--   s_snap            the number of the snapshot (that after the event)
--   c_num, c_type, c_state_key    what is in force from the event on, 0 for nothing (the event itself)
--   m_num, m_user, m_sender       the member event in force from the event on, and of it (the event itself)
-- A room of whose events none has an ordinal has no fact, and its head stays where it is.
--
-- The order is that of the locks: room rows (skipping those that somebody holds), events, the lane row, and after it
-- only rows that carry positions. Nothing is written for a room whose outcome is not 0:
--   0 written         position: of its fact, without one that of the room's head; number: the room's number
--   1 conflict        detail: the version the room has
--   2 locked          another writer holds the room, or it is gone
--   3 replayed        detail: the num that the transaction id of event `number` of the chain (from 1) has made before
--   4 exists          an event id, or the room id of a new room, is there already
--
-- The data of a fact is \x01 if the current state has changed otherwise than by each event taking force in its turn.
--
-- A room's version counts its writes, and a writer that knows the version knows the room. After a failover that lost
-- commits a version could come again with another history behind it, while some process still remembers the lost one.
-- So the first write of a room after a failover makes its version jump far, by chance (lanes.lane.lost).
--
-- FOR loops over the arrays, because INSERT ... SELECT unnest() costs three times as much for one event.
--
-- The function of the migration before, which has other parameters, stays for as long as the version before may run
-- beside this one.

CREATE FUNCTION rooms.write(
    in_lane          smallint,
    r_room           integer[],
    r_version        bigint[],
    r_events         integer[],
    r_snapshot       integer[],
    r_next_state_key integer[],
    r_next_snapshot  integer[],
    r_next_page      integer[],
    r_depth          bigint[],
    r_ends           integer[],
    ends             bigint[],
    n_room_id        text[],
    n_room_version   text[],
    n_salt           bytea[],
    n_published      integer[],
    e_num            bigint[],
    e_event_id       text[],
    e_type           text[],
    e_state_key      text[],
    e_sender         text[],
    e_depth          bigint[],
    e_ts             bigint[],
    e_snap_before    integer[],
    e_snap_after     integer[],
    e_room_before    integer[],
    e_room_after     integer[],
    e_flags          integer[],
    e_prevs          integer[],
    e_auths          integer[],
    e_redacts        text[],
    e_replaces       bigint[],
    e_device         text[],
    e_endpoint       text[],
    e_txn            text[],
    e_raw            bytea[],
    edges            bigint[],
    k_event          integer[],
    k_num            integer[],
    s_event          integer[],
    s_snap           integer[],
    s_parent         integer[],
    s_step           integer[],
    s_hash           bytea[],
    s_delta          bytea[],
    s_pages          bytea[],
    c_event          integer[],
    c_num            bigint[],
    c_type           text[],
    c_state_key      text[],
    p_event          integer[],
    p_page           integer[],
    p_entries        bytea[],
    m_event          integer[],
    m_num            bigint[],
    m_user           text[],
    m_sender         text[],
    m_membership     integer[],
    m_was            integer[],
    m_server         text[],
    v_event          integer[],
    v_visibility     text[],
    x_event          integer[],
    x_num            bigint[],
    x_raw            bytea[],
    OUT outcomes     smallint[],
    OUT positions    bigint[],
    OUT details      bigint[],
    OUT numbers      integer[]
)
LANGUAGE plpgsql
AS $$
DECLARE
    forever  CONSTANT bigint := 9223372036854775807;
    total    CONSTANT integer := cardinality(r_room);
    room_of  integer[] := array_fill(0, ARRAY[cardinality(e_num)]);  -- by event: its room's index, 0 if not written
    joined   integer[] := array_fill(0, ARRAY[total]);
    invited  integer[] := array_fill(0, ARRAY[total]);
    ids      text[] := '{}';
    kinds    smallint[] := '{}';
    subjects text[] := '{}';
    los      bigint[] := '{}';
    his      bigint[] := '{}';
    datas    bytea[] := '{}';
    found_version bigint;
    found_id text;
    found_position bigint;
    heads    bigint[] := array_fill(0::bigint, ARRAY[total]);  -- head_position of the rooms before this
    lost_at  bigint;
    first    integer := 1;   -- the room's first event in e_
    last     integer;
    lo       bigint;         -- the room's first and last ordinal of this write
    hi       bigint;
    his_of   bigint[] := array_fill(0::bigint, ARRAY[total]);
    any_forked CONSTANT boolean := cardinality(r_ends) > 0;
    is_forked boolean;
    ordinal  bigint;
    new      integer := 0;   -- the room's element of n_
    edge     integer := 1;   -- the event's first element of edges
    ended    integer := 1;   -- the room's first element of ends
    room_num integer;
    outcome  smallint;
    written  boolean := false;
    earlier  bigint;
    subject  text;
    num_now  bigint;
    end_nums bigint[];
    depth_now bigint;
    fact     bigint;
    i        integer;
    e        integer;
BEGIN
    outcomes := array_fill(0::smallint, ARRAY[total]);
    positions := array_fill(0::bigint, ARRAY[total]);
    details := positions;
    numbers := r_room;

    -- Lock the rooms and compare their versions.
    FOR i IN 1 .. total LOOP
        IF r_room[i] = 0 THEN
            new := new + 1;
            ids[i] := n_room_id[new];
            PERFORM FROM rooms.room WHERE lane = in_lane AND room_id = n_room_id[new];
            IF FOUND THEN
                outcomes[i] := 4;
            END IF;
        ELSE
            SELECT version, room_id, head_position INTO found_version, found_id, found_position FROM rooms.room
             WHERE lane = in_lane AND room = r_room[i]
               FOR NO KEY UPDATE SKIP LOCKED;
            IF NOT FOUND THEN
                outcomes[i] := 2;
            ELSIF found_version <> r_version[i] THEN
                outcomes[i] := 1;
                details[i] := found_version;
            END IF;
            ids[i] := found_id;
            heads[i] := found_position;
        END IF;
    END LOOP;

    -- Events, and the answers to their transaction ids.
    FOR i IN 1 .. total LOOP
        last := first + r_events[i] - 1;
        room_num := r_room[i];
        outcome := outcomes[i];
        lo := CASE WHEN any_forked THEN NULL ELSE e_num[first] END;
        hi := e_num[last];
        is_forked := false;
        IF outcome = 0 AND room_num = 0 THEN
            UPDATE lanes.lane SET rooms = lane.rooms + 1 WHERE family = 'r' AND lane = in_lane
            RETURNING lane.rooms INTO room_num;
            numbers[i] := room_num;
        END IF;
        FOR e IN first .. last LOOP
            IF outcome = 0 AND e_txn[e] IS NOT NULL THEN
                INSERT INTO rooms.txn (lane, room, user_id, device_id, endpoint, txn_id, num, ts)
                VALUES (in_lane, room_num, e_sender[e], e_device[e], e_endpoint[e], e_txn[e], e_num[e], e_ts[e])
                ON CONFLICT DO NOTHING;
                IF NOT FOUND THEN
                    SELECT num INTO earlier FROM rooms.txn
                     WHERE lane = in_lane AND room = room_num AND user_id = e_sender[e]
                       AND device_id = e_device[e] AND endpoint = e_endpoint[e] AND txn_id = e_txn[e];
                    outcome := 3;
                    details[i] := earlier;
                    numbers[i] := e - first + 1;
                END IF;
            END IF;
            IF outcome = 0 THEN
                IF any_forked THEN
                    ordinal := e_num[e];
                    IF e_flags[e] <> 0 THEN
                        ordinal := NULL;
                    ELSE
                        lo := coalesce(lo, ordinal);
                        hi := ordinal;
                        is_forked := is_forked OR coalesce(e_room_before[e], e_room_after[e]) IS NOT NULL;
                    END IF;
                    INSERT INTO rooms.event (lane, room, num, ordinal, event_id, type, state_key, sender, depth,
                                             origin_server_ts, snap_before, snap_after, room_before, room_after,
                                             prev, auth, flags, redacts, replaces, txn_device, txn_id, raw)
                    VALUES (in_lane, room_num, e_num[e], ordinal, e_event_id[e], e_type[e], e_state_key[e],
                            e_sender[e], e_depth[e], e_ts[e], e_snap_before[e], e_snap_after[e],
                            e_room_before[e], e_room_after[e],
                            edges[edge : edge + e_prevs[e] - 1],
                            edges[edge + e_prevs[e] : edge + e_prevs[e] + e_auths[e] - 1],
                            coalesce(e_flags[e], 0), e_redacts[e], nullif(e_replaces[e], 0), e_device[e],
                            e_txn[e], e_raw[e])
                    ON CONFLICT DO NOTHING;
                ELSE
                    -- The same for what most events are: what is left out is a twentieth of the call.
                    INSERT INTO rooms.event (lane, room, num, ordinal, event_id, type, state_key, sender, depth,
                                             origin_server_ts, snap_before, snap_after, prev, auth, redacts,
                                             replaces, txn_device, txn_id, raw)
                    VALUES (in_lane, room_num, e_num[e], e_num[e], e_event_id[e], e_type[e], e_state_key[e],
                            e_sender[e], e_depth[e], e_ts[e], e_snap_before[e], e_snap_after[e],
                            edges[edge : edge + e_prevs[e] - 1],
                            edges[edge + e_prevs[e] : edge + e_prevs[e] + e_auths[e] - 1],
                            e_redacts[e], nullif(e_replaces[e], 0), e_device[e], e_txn[e], e_raw[e])
                    ON CONFLICT DO NOTHING;
                END IF;
                IF FOUND THEN
                    room_of[e] := i;
                ELSE
                    outcome := 4;
                END IF;
            END IF;
            edge := edge + e_prevs[e] + e_auths[e];
        END LOOP;
        IF outcome = 0 THEN
            written := true;
            IF lo IS NOT NULL THEN
                his_of[i] := hi;
                kinds := kinds || 1::smallint;
                subjects := subjects || ids[i];
                los := los || lo;
                his := his || hi;
                datas := datas || CASE WHEN is_forked THEN '\x01'::bytea ELSE ''::bytea END;
            END IF;
        ELSIF outcome >= 3 AND room_num <> 0 THEN
            -- Found in the middle of the chain: take back what was written of it.
            DELETE FROM rooms.event WHERE lane = in_lane AND room = room_num AND num >= e_num[first];
            DELETE FROM rooms.txn WHERE lane = in_lane AND room = room_num AND num >= e_num[first]
               AND user_id = ANY (e_sender[first : last]);
            FOR e IN first .. last LOOP
                room_of[e] := 0;
            END LOOP;
        END IF;
        outcomes[i] := outcome;
        first := last + 1;
    END LOOP;
    IF NOT written THEN
        RETURN;
    END IF;

    FOR j IN 1 .. cardinality(k_event) LOOP
        e := k_event[j];
        CONTINUE WHEN room_of[e] = 0;
        INSERT INTO rooms.state_key (lane, room, type, state_key, num)
        VALUES (in_lane, numbers[room_of[e]], e_type[e], e_state_key[e], k_num[j]);
    END LOOP;
    FOR j IN 1 .. cardinality(p_event) LOOP
        e := p_event[j];
        CONTINUE WHEN room_of[e] = 0;
        INSERT INTO rooms.page (lane, room, page, entries)
        VALUES (in_lane, numbers[room_of[e]], p_page[j], p_entries[j]);
    END LOOP;
    FOR j IN 1 .. cardinality(s_event) LOOP
        e := s_event[j];
        CONTINUE WHEN room_of[e] = 0;
        INSERT INTO rooms.snapshot (lane, room, snap, parent, step, hash, delta, pages)
        VALUES (in_lane, numbers[room_of[e]], coalesce(s_snap[j], e_snap_after[e]), s_parent[j], s_step[j],
                s_hash[j], s_delta[j], s_pages[j]);
    END LOOP;
    FOR j IN 1 .. cardinality(v_event) LOOP
        e := v_event[j];
        CONTINUE WHEN room_of[e] = 0;
        room_num := numbers[room_of[e]];
        UPDATE rooms.visibility SET to_ordinal = e_num[e]
         WHERE lane = in_lane AND room = room_num AND to_ordinal = forever;
        INSERT INTO rooms.visibility (lane, room, from_ordinal, history_visibility)
        VALUES (in_lane, room_num, e_num[e], v_visibility[j]);
    END LOOP;
    FOR j IN 1 .. cardinality(m_event) LOOP
        e := m_event[j];
        i := room_of[e];
        CONTINUE WHEN i = 0;
        joined[i] := joined[i] + (m_membership[j] = 1)::integer - (m_was[j] = 1)::integer;
        invited[i] := invited[i] + (m_membership[j] = 2)::integer - (m_was[j] = 2)::integer;
        IF m_membership[j] = 1 AND m_was[j] <> 1 THEN
            UPDATE rooms.host SET joined_members = joined_members + 1
             WHERE lane = in_lane AND room = numbers[i] AND server = m_server[j] AND to_ordinal = forever;
            IF NOT FOUND THEN
                INSERT INTO rooms.host (lane, room, server, from_ordinal, joined_members)
                VALUES (in_lane, numbers[i], m_server[j], e_num[e], 1);
            END IF;
        ELSIF m_membership[j] <> 1 AND m_was[j] = 1 THEN
            UPDATE rooms.host
               SET joined_members = joined_members - 1,
                   to_ordinal = CASE WHEN joined_members = 1 THEN e_num[e] ELSE forever END
             WHERE lane = in_lane AND room = numbers[i] AND server = m_server[j] AND to_ordinal = forever;
        END IF;
    END LOOP;
    FOR j IN 1 .. cardinality(x_event) LOOP
        e := x_event[j];
        CONTINUE WHEN room_of[e] = 0;
        UPDATE rooms.event SET raw = x_raw[j], redacted_by = e_num[e]
         WHERE lane = in_lane AND room = numbers[room_of[e]] AND num = x_num[j];
        kinds := kinds || 2::smallint;
        subjects := subjects || ids[room_of[e]];
        los := los || x_num[j];
        his := his || x_num[j];
        datas := datas || ''::bytea;
    END LOOP;

    -- The lane row, held until the commit. From here on only rows that carry positions.
    IF cardinality(kinds) > 0 THEN
        fact := lanes.append('r', in_lane, kinds, subjects, los, his, datas);
    END IF;
    SELECT lost INTO lost_at FROM lanes.lane WHERE family = 'r' AND lane = in_lane;
    FOR i IN 1 .. total LOOP
        IF outcomes[i] <> 0 THEN
            CONTINUE;
        ELSIF his_of[i] = 0 THEN
            positions[i] := heads[i];
        ELSE
            positions[i] := fact;
            fact := fact + 1;
        END IF;
    END LOOP;

    FOR j IN 1 .. cardinality(c_event) LOOP
        e := c_event[j];
        i := room_of[e];
        CONTINUE WHEN i = 0;
        IF c_num[j] IS NULL THEN
            INSERT INTO rooms.current_state AS now (lane, room, type, state_key, num, event_id, position)
            VALUES (in_lane, numbers[i], e_type[e], e_state_key[e], e_num[e], e_event_id[e], positions[i])
            ON CONFLICT (lane, room, type, state_key) DO UPDATE
               SET num = excluded.num, event_id = excluded.event_id, position = excluded.position;
        ELSIF c_num[j] = 0 THEN
            DELETE FROM rooms.current_state
             WHERE lane = in_lane AND room = numbers[i] AND type = c_type[j] AND state_key = c_state_key[j];
        ELSE
            INSERT INTO rooms.current_state AS now (lane, room, type, state_key, num, event_id, position)
            SELECT in_lane, numbers[i], c_type[j], c_state_key[j], num, event_id, positions[i]
              FROM rooms.event WHERE lane = in_lane AND room = numbers[i] AND num = c_num[j]
            ON CONFLICT (lane, room, type, state_key) DO UPDATE
               SET num = excluded.num, event_id = excluded.event_id, position = excluded.position;
        END IF;
    END LOOP;
    FOR j IN 1 .. cardinality(m_event) LOOP
        e := m_event[j];
        i := room_of[e];
        CONTINUE WHEN i = 0;
        subject := coalesce(m_user[j], e_state_key[e]);
        num_now := coalesce(m_num[j], e_num[e]);
        IF m_membership[j] = 1 AND m_was[j] = 1 THEN
            -- Another display name: the membership goes on.
            UPDATE rooms.membership SET num = num_now
             WHERE lane = in_lane AND room = numbers[i] AND user_id = subject AND to_ordinal = forever;
        ELSE
            -- Also if there was none: one that a resolution has taken away stands as having left.
            UPDATE rooms.membership SET to_ordinal = e_num[e], to_position = positions[i]
             WHERE lane = in_lane AND room = numbers[i] AND user_id = subject AND to_ordinal = forever;
            INSERT INTO rooms.membership (lane, room, user_id, from_ordinal, membership, num, position, sender)
            VALUES (in_lane, numbers[i], subject, e_num[e], m_membership[j], num_now, positions[i],
                    coalesce(m_sender[j], e_sender[e]));
        END IF;
    END LOOP;

    first := 1;
    new := 0;
    FOR i IN 1 .. total LOOP
        last := first + r_events[i] - 1;
        end_nums := ARRAY[e_num[last]];
        depth_now := e_depth[last];
        IF any_forked AND r_ends[i] IS NOT NULL THEN
            end_nums := ends[ended : ended + r_ends[i] - 1];
            depth_now := r_depth[i];
            ended := ended + r_ends[i];
        END IF;
        IF r_room[i] = 0 THEN
            new := new + 1;
            IF outcomes[i] = 0 THEN
                INSERT INTO rooms.room (lane, room, room_id, room_version, creator, created, salt, version,
                                        head_num, head_ordinal, head_position, depth, extremities, snapshot,
                                        next_state_key, next_snapshot, next_page, joined_members,
                                        invited_members, published)
                VALUES (in_lane, numbers[i], n_room_id[new], n_room_version[new], e_sender[first], e_ts[first],
                        n_salt[new], 1, e_num[last], e_num[last], positions[i], depth_now, end_nums, r_snapshot[i],
                        r_next_state_key[i], r_next_snapshot[i], r_next_page[i], joined[i], invited[i],
                        n_published[new] = 1);
            END IF;
        ELSIF outcomes[i] = 0 THEN
            UPDATE rooms.room
               SET version = r_version[i] + 1
                             + CASE WHEN heads[i] <= lost_at THEN (random() * 1099511627776)::bigint ELSE 0 END,
                   head_num = e_num[last], head_ordinal = greatest(head_ordinal, his_of[i]),
                   head_position = positions[i], depth = depth_now, extremities = end_nums,
                   snapshot = r_snapshot[i], next_state_key = r_next_state_key[i],
                   next_snapshot = r_next_snapshot[i], next_page = r_next_page[i],
                   joined_members = joined_members + joined[i],
                   invited_members = invited_members + invited[i]
             WHERE lane = in_lane AND room = r_room[i];
        END IF;
        first := last + 1;
    END LOOP;
END
$$;
