-- Which events notify whom, so that the unread ones can be counted without looking at them one by one.
--
-- An event that notifies its room's members by the default push rules says so itself, and carries the running number
-- of such events of the room (those in threads apart): what is unread is a difference of two numbers. Only where it is
-- otherwise for somebody is there a row: for who is mentioned, who has rules of their own, and as user '' for
-- everybody, where an event highlights all or was redacted. A row says by how much the counts differ from what holds
-- for everybody.

ALTER TABLE rooms.room ADD COLUMN notified integer NOT NULL DEFAULT 0;
ALTER TABLE rooms.event ADD COLUMN notify smallint;
ALTER TABLE rooms.event ADD COLUMN notified integer;
ALTER TABLE rooms.event ADD COLUMN thread text;
ALTER TABLE rooms.event ADD COLUMN sent boolean;
COMMENT ON COLUMN rooms.room.notified IS 'how many events have notified by default, those in threads apart';
COMMENT ON COLUMN rooms.event.notify IS 'the default push rule by which it notifies, by number; NULL: by none';
COMMENT ON COLUMN rooms.event.notified IS 'the room''s number after this event; NULL: written before there was one';
COMMENT ON COLUMN rooms.event.thread IS 'event ID of the root of the thread it is in; NULL: in the main timeline';
COMMENT ON COLUMN rooms.event.sent IS 'whether a user of this server sent it, and it is no membership; NULL: no';

-- What somebody sent last: so far they have read. And what is in threads, in the order of the timeline.
CREATE INDEX event_sent ON rooms.event (lane, room, sender, num) WHERE sent;
CREATE INDEX event_thread ON rooms.event (lane, room, num) WHERE thread IS NOT NULL;

CREATE TABLE rooms.notice (
    lane        smallint NOT NULL,
    room        integer  NOT NULL,
    user_id     text     NOT NULL,                   -- '': everybody
    num         bigint   NOT NULL,
    thread      text,
    notify      smallint NOT NULL,                   -- added to the count of notifications: -1, 0 or 1
    highlight   smallint NOT NULL,                   -- and to that of highlights
    highlighted boolean  NOT NULL,                   -- whether it highlights for this user
    actions     text,                                -- of the push rule, as JSON; NULL: it does not notify this user
    ts          bigint,                              -- origin_server_ts of the event
    PRIMARY KEY (lane, room, user_id, num)
) PARTITION BY LIST (lane);
CREATE INDEX notice_event ON rooms.notice (lane, room, num);
CREATE INDEX notice_user ON rooms.notice (user_id, ts, lane, room, num) WHERE actions IS NOT NULL;

DO $$
DECLARE
    lanes text;
BEGIN
    FOR part IN 0 .. 7 LOOP
        SELECT string_agg(lane::text, ', ') INTO lanes FROM generate_series(part * 8, part * 8 + 7) AS lane;
        EXECUTE format('CREATE TABLE rooms.notice_%s PARTITION OF rooms.notice FOR VALUES IN (%s)', part, lanes);
    END LOOP;
END
$$;

-- rooms.write as in 0011-relations.sql and 0005-forks.sql, where its arrays are explained, and besides:
--   r_sent            1: the events are of users of this server (0)
--   e_notify, e_thread, e_parent   the number of the default push rule by which the event notifies; the root of its
--                     thread, or an event whose thread it is in. Empty if no event has one.
--   h_                notices, of the event whose index in e_ is h_event

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
    l_event          integer[],
    l_parent         text[],
    l_rel_type       text[],
    l_key            bytea[],
    l_edit           integer[],
    r_sent           integer[],
    e_notify         integer[],
    e_thread         text[],
    e_parent         text[],
    h_event          integer[],
    h_user           text[],
    h_notify         integer[],
    h_highlight      integer[],
    h_highlighted    integer[],
    h_actions        text[],
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
    found_notified integer;
    notified_of integer[] := array_fill(0, ARRAY[total]);  -- the running number of each room
    running  integer;
    any_related CONSTANT boolean := cardinality(e_thread) > 0;
    thread_of text[] := '{}';
    notifies smallint;
    in_thread text;
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
            SELECT version, room_id, head_position, notified
              INTO found_version, found_id, found_position, found_notified FROM rooms.room
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
            notified_of[i] := found_notified;
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
        running := notified_of[i];
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
                in_thread := NULL;
                IF any_related THEN
                    in_thread := e_thread[e];
                    IF e_parent[e] IS NOT NULL THEN
                        SELECT ev.thread INTO in_thread FROM rooms.event ev
                         WHERE ev.lane = in_lane AND ev.event_id = e_parent[e] AND ev.room = room_num;
                    END IF;
                    thread_of[e] := in_thread;
                END IF;
                notifies := nullif(e_notify[e], 0);
                IF notifies IS NOT NULL AND in_thread IS NULL THEN
                    running := running + 1;
                END IF;
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
                                             prev, auth, flags, redacts, replaces, txn_device, txn_id, raw,
                                             notify, notified, thread, sent)
                    VALUES (in_lane, room_num, e_num[e], ordinal, e_event_id[e], e_type[e], e_state_key[e],
                            e_sender[e], e_depth[e], e_ts[e], e_snap_before[e], e_snap_after[e],
                            e_room_before[e], e_room_after[e],
                            edges[edge : edge + e_prevs[e] - 1],
                            edges[edge + e_prevs[e] : edge + e_prevs[e] + e_auths[e] - 1],
                            coalesce(e_flags[e], 0), e_redacts[e], nullif(e_replaces[e], 0), e_device[e],
                            e_txn[e], e_raw[e],
                            notifies, running, in_thread, nullif(r_sent[i] = 1 AND e_type[e] <> 'm.room.member', false))
                    ON CONFLICT DO NOTHING;
                ELSE
                    -- The same for what most events are: what is left out is a twentieth of the call.
                    INSERT INTO rooms.event (lane, room, num, ordinal, event_id, type, state_key, sender, depth,
                                             origin_server_ts, snap_before, snap_after, prev, auth, redacts,
                                             replaces, txn_device, txn_id, raw,
                                             notify, notified, thread, sent)
                    VALUES (in_lane, room_num, e_num[e], e_num[e], e_event_id[e], e_type[e], e_state_key[e],
                            e_sender[e], e_depth[e], e_ts[e], e_snap_before[e], e_snap_after[e],
                            edges[edge : edge + e_prevs[e] - 1],
                            edges[edge + e_prevs[e] : edge + e_prevs[e] + e_auths[e] - 1],
                            e_redacts[e], nullif(e_replaces[e], 0), e_device[e], e_txn[e], e_raw[e],
                            notifies, running, in_thread, nullif(r_sent[i] = 1 AND e_type[e] <> 'm.room.member', false))
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
            notified_of[i] := running;
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
    FOR j IN 1 .. cardinality(l_event) LOOP
        e := l_event[j];
        CONTINUE WHEN room_of[e] = 0;
        INSERT INTO rooms.relation (lane, room, num, ordinal, parent, rel_type, event_id, type, sender, ts, key, edit)
        VALUES (in_lane, numbers[room_of[e]], e_num[e], e_num[e], l_parent[j], l_rel_type[j], e_event_id[e], e_type[e],
                e_sender[e], e_ts[e], l_key[j], l_edit[j] = 1);
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
    FOR j IN 1 .. cardinality(h_event) LOOP
        e := h_event[j];
        CONTINUE WHEN room_of[e] = 0;
        INSERT INTO rooms.notice (lane, room, user_id, num, thread, notify, highlight, highlighted, actions, ts)
        VALUES (in_lane, numbers[room_of[e]], h_user[j], e_num[e], thread_of[e], h_notify[j], h_highlight[j],
                h_highlighted[j] = 1, h_actions[j], e_ts[e]);
    END LOOP;
    FOR j IN 1 .. cardinality(x_event) LOOP
        e := x_event[j];
        CONTINUE WHEN room_of[e] = 0;
        UPDATE rooms.event ev SET raw = x_raw[j], redacted_by = e_num[e]
         WHERE ev.lane = in_lane AND ev.room = numbers[room_of[e]] AND ev.num = x_num[j]
        RETURNING ev.notify, ev.thread INTO notifies, in_thread;
        DELETE FROM rooms.notice WHERE lane = in_lane AND room = numbers[room_of[e]] AND num = x_num[j];
        IF notifies IS NOT NULL THEN
            INSERT INTO rooms.notice (lane, room, user_id, num, thread, notify, highlight, highlighted)
            VALUES (in_lane, numbers[room_of[e]], '', x_num[j], in_thread, -1, 0, false);
        END IF;
        DELETE FROM rooms.relation WHERE lane = in_lane AND room = numbers[room_of[e]] AND num = x_num[j];
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
                                        invited_members, published, notified)
                VALUES (in_lane, numbers[i], n_room_id[new], n_room_version[new], e_sender[first], e_ts[first],
                        n_salt[new], 1, e_num[last], e_num[last], positions[i], depth_now, end_nums, r_snapshot[i],
                        r_next_state_key[i], r_next_snapshot[i], r_next_page[i], joined[i], invited[i],
                        n_published[new] = 1, notified_of[i]);
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
                   invited_members = invited_members + invited[i],
                   notified = notified_of[i]
             WHERE lane = in_lane AND room = r_room[i];
        END IF;
        first := last + 1;
    END LOOP;
END
$$;
