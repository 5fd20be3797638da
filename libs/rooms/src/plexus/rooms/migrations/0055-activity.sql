-- When a room was last active: what lists of rooms are sorted by. `active_ts` is when the last live event came in,
-- `bump_ts` the same of those that people call activity (MSC4186, `bump_stamp`); both are ours and never what an event
-- says of itself. A trigger keeps them, so that every form of rooms.write does.

ALTER TABLE rooms.room ADD COLUMN active_ts bigint NOT NULL DEFAULT 0;
ALTER TABLE rooms.room ADD COLUMN bump_ts bigint NOT NULL DEFAULT 0;

-- Nothing tells when the events before this came in. They were all made here, so what they say is nearly that.
UPDATE rooms.room r SET active_ts = e.origin_server_ts, bump_ts = e.origin_server_ts
  FROM rooms.event e WHERE e.lane = r.lane AND e.room = r.room AND e.num = r.head_num;

CREATE FUNCTION rooms.note_activity() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- A room that is copied, from a backup or another server, brings its own.
    IF TG_OP = 'INSERT' AND NEW.active_ts > 0 THEN
        RETURN NEW;
    END IF;
    -- Milliseconds, and never the same or less than before: the order of a room's own activity is kept.
    NEW.active_ts := greatest(NEW.active_ts + 1, (extract(epoch FROM clock_timestamp()) * 1000)::bigint);
    IF TG_OP = 'INSERT' OR EXISTS (
        SELECT FROM rooms.event e
         WHERE e.lane = NEW.lane AND e.room = NEW.room AND e.num > OLD.head_num AND e.num <= NEW.head_num
           AND e.ordinal IS NOT NULL
           AND e.type IN ('m.room.message', 'm.room.encrypted', 'm.sticker', 'm.call.invite', 'm.poll.start',
                          'm.beacon_info', 'm.room.create'))
    THEN
        NEW.bump_ts := NEW.active_ts;
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER note_first_activity BEFORE INSERT ON rooms.room
    FOR EACH ROW EXECUTE FUNCTION rooms.note_activity();
CREATE TRIGGER note_activity BEFORE UPDATE OF head_num ON rooms.room
    FOR EACH ROW WHEN (NEW.head_num > OLD.head_num) EXECUTE FUNCTION rooms.note_activity();
