-- Which room replaces which: claimed before the new room is written, so that an upgrade that was interrupted is found
-- again and not made twice. Like an alias it is a row of its own, apart from any room write.

CREATE TABLE rooms.replacement (
    lane        smallint NOT NULL,                   -- of the old room
    old_room_id text     NOT NULL,
    room_id     text     NOT NULL,                   -- there, or about to be written
    creator     text     NOT NULL,                   -- who upgrades
    created     bigint   NOT NULL,                   -- milliseconds
    lease_until bigint   NOT NULL,                   -- until then somebody works on what the old room is owed
    done        boolean  NOT NULL DEFAULT false,
    PRIMARY KEY (lane, old_room_id)
);
CREATE INDEX replacement_open ON rooms.replacement (lease_until) WHERE NOT done;
