-- What users have reported, for who administers the server. An event is kept as it was when it was reported: its
-- sender may redact it. Times in milliseconds.
CREATE SCHEMA client_api;

CREATE TABLE client_api.report (
    report_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    received_ts bigint NOT NULL,
    reporter    text   NOT NULL,
    kind        text   NOT NULL CHECK (kind IN ('event', 'room', 'user')),
    room_id     text,
    event_id    text,
    user_id     text,                            -- the reported user, or the sender of the reported event
    event       text,                            -- in JSON, as clients get it
    reason      text   NOT NULL,
    CHECK ((room_id IS NOT NULL) = (kind IN ('event', 'room'))),
    CHECK ((event_id IS NOT NULL) = (kind = 'event')),
    CHECK ((user_id IS NOT NULL) = (kind IN ('event', 'user')))
);
