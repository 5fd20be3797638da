-- Which state a state follows. A client may send several requests with the newest token it has, because it gave one up or
-- wants something else: each answer is a state of its own, and the client goes on with one of them, whichever it read.
-- What follows the same state lives until the client comes back with one of them. MSC4186, "Connections".
--
-- sync.save_connection stays for the version before, and goes with the next.

ALTER TABLE sync.connection ADD COLUMN parent bigint;    -- NULL: it began the connection, or is of a version before
COMMENT ON COLUMN sync.connection.created_ts IS 'when it was made, or some time in the last day in which it was used';

-- Writes the state that follows p_after (NULL: a connection begins), and forgets those that neither are p_after nor follow
-- it, and what was there before a request came in that begins the connection anew (p_began). Of what follows the same
-- state stay the p_beside newest beside it. Of a user's connections stay the p_most that were used last, and none that
-- was not used since p_since. False: p_after is not there any more, and nothing was written.
CREATE FUNCTION sync.save_state(
    p_lane smallint, p_user text, p_device text, p_conn text, p_after bigint, p_state bigint, p_began bigint,
    p_now bigint, p_rooms bytea, p_beside integer, p_most integer, p_since bigint
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF p_after IS NULL THEN
        DELETE FROM sync.connection c
         WHERE c.lane = p_lane AND c.user_id = p_user AND c.device_id = p_device AND c.conn_id = p_conn
           AND c.created_ts <= p_began;
        DELETE FROM sync.connection c
         WHERE c.lane = p_lane AND c.user_id = p_user
           AND (c.created_ts < p_since OR (c.device_id, c.conn_id) IN (
                SELECT o.device_id, o.conn_id FROM sync.connection o
                 WHERE o.lane = p_lane AND o.user_id = p_user AND (o.device_id, o.conn_id) <> (p_device, p_conn)
                 GROUP BY o.device_id, o.conn_id
                 ORDER BY max(o.created_ts) DESC OFFSET p_most - 1));
    ELSE
        -- Who goes on with a state that follows it deletes it, so the two wait for each other.
        PERFORM FROM sync.connection c
          WHERE c.lane = p_lane AND c.user_id = p_user AND c.device_id = p_device AND c.conn_id = p_conn
            AND c.state = p_after
            FOR UPDATE;
        IF NOT FOUND THEN
            RETURN false;
        END IF;
        DELETE FROM sync.connection c
         WHERE c.lane = p_lane AND c.user_id = p_user AND c.device_id = p_device AND c.conn_id = p_conn
           AND c.state <> p_after AND c.parent IS DISTINCT FROM p_after;
    END IF;
    DELETE FROM sync.connection c
     WHERE c.lane = p_lane AND c.user_id = p_user AND c.device_id = p_device AND c.conn_id = p_conn
       AND c.state IN (
            SELECT o.state FROM sync.connection o
             WHERE o.lane = p_lane AND o.user_id = p_user AND o.device_id = p_device AND o.conn_id = p_conn
               AND o.parent IS NOT DISTINCT FROM p_after AND o.state IS DISTINCT FROM p_after
             ORDER BY o.created_ts DESC OFFSET p_beside);
    INSERT INTO sync.connection (lane, user_id, device_id, conn_id, state, parent, created_ts, rooms)
    VALUES (p_lane, p_user, p_device, p_conn, p_state, p_after, p_now, p_rooms);
    RETURN true;
END
$$;

-- A connection is in use, though its state does not change.
CREATE FUNCTION sync.use_connection(p_lane smallint, p_user text, p_device text, p_conn text, p_now bigint)
RETURNS void LANGUAGE sql AS $$
    UPDATE sync.connection c SET created_ts = p_now
     WHERE c.lane = p_lane AND c.user_id = p_user AND c.device_id = p_device AND c.conn_id = p_conn
       AND c.created_ts < p_now
$$;
