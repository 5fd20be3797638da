-- The events of a room by what their senders say of the time: "jump to date". Events without a place in the timeline
-- are never looked for.
CREATE INDEX event_time ON rooms.event (lane, room, origin_server_ts, num) WHERE ordinal IS NOT NULL;
