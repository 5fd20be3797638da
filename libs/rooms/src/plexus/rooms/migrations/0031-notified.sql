-- The events of a room that notify by default, by what their senders say of the time: the list of notifications goes
-- through many rooms at once, and there is no other order between rooms.
CREATE INDEX event_notify ON rooms.event (lane, room, origin_server_ts, num) WHERE notify > 0;
