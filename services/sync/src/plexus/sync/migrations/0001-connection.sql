-- What a client of sliding sync has been sent: one row a state of a connection that the client may come back with, so
-- two of each connection. A state never changes. `rooms` is compressed JSON; see plexus.sync.sliding.connections.

CREATE SCHEMA sync;

CREATE TABLE sync.connection (
    lane       smallint NOT NULL,                    -- of the user
    user_id    text     NOT NULL,
    device_id  text     NOT NULL,
    conn_id    text     NOT NULL,
    state      bigint   NOT NULL,                    -- random: nobody guesses the next
    created_ts bigint   NOT NULL,                    -- milliseconds
    rooms      bytea    NOT NULL,
    PRIMARY KEY (lane, user_id, device_id, conn_id, state)
) PARTITION BY LIST (lane);
ALTER TABLE sync.connection ALTER COLUMN rooms SET STORAGE EXTERNAL;

CREATE TABLE sync.connection_0 PARTITION OF sync.connection FOR VALUES IN (0, 1, 2, 3);
CREATE TABLE sync.connection_1 PARTITION OF sync.connection FOR VALUES IN (4, 5, 6, 7);
CREATE TABLE sync.connection_2 PARTITION OF sync.connection FOR VALUES IN (8, 9, 10, 11);
CREATE TABLE sync.connection_3 PARTITION OF sync.connection FOR VALUES IN (12, 13, 14, 15);

-- Writes the state that follows p_after (null: a connection begins), and forgets the others but p_after. Of a user's
-- connections stay the p_most newest, and none that has not changed since p_since.
CREATE FUNCTION sync.save_connection(
    p_lane smallint, p_user text, p_device text, p_conn text, p_after bigint, p_state bigint, p_now bigint,
    p_rooms bytea, p_most integer, p_since bigint
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM sync.connection c
     WHERE c.lane = p_lane AND c.user_id = p_user AND c.device_id = p_device AND c.conn_id = p_conn
       AND c.state IS DISTINCT FROM p_after;
    IF p_after IS NULL THEN
        DELETE FROM sync.connection c
         WHERE c.lane = p_lane AND c.user_id = p_user
           AND (c.created_ts < p_since OR (c.device_id, c.conn_id) IN (
                SELECT o.device_id, o.conn_id FROM sync.connection o
                 WHERE o.lane = p_lane AND o.user_id = p_user
                 GROUP BY o.device_id, o.conn_id
                 ORDER BY max(o.created_ts) DESC OFFSET p_most - 1));
    END IF;
    INSERT INTO sync.connection (lane, user_id, device_id, conn_id, state, created_ts, rooms)
    VALUES (p_lane, p_user, p_device, p_conn, p_state, p_now, p_rooms);
END
$$;
