-- The lanes: append-only logs of facts, their generations, and where workers stand in them.
-- What they are for: plexus.platform.lanes.

CREATE SCHEMA lanes;

-- One row: what is chosen when the deployment is created and never changed.
CREATE TABLE lanes.deployment (
    single      boolean PRIMARY KEY DEFAULT true CHECK (single),
    room_lanes  smallint NOT NULL CHECK (room_lanes BETWEEN 1 AND 64),
    user_lanes  smallint NOT NULL CHECK (user_lanes BETWEEN 1 AND 16),
    server_name text,
    created     timestamptz NOT NULL DEFAULT now()
);

-- One row a lane. `head` is the last position given, `floor` the last one dropped, `rooms` the last room number
-- given, `segment` where new facts go, `generation` the one that new facts belong to.
-- Nine tenths of a page stay free: every append updates its row, and in place (HOT) as long as there is room.
CREATE TABLE lanes.lane (
    family      "char" NOT NULL CHECK (family IN ('r', 'u')),
    lane        smallint NOT NULL,
    head        bigint NOT NULL DEFAULT 0,
    floor       bigint NOT NULL DEFAULT 0,
    rooms       integer NOT NULL DEFAULT 0,
    segment     integer NOT NULL DEFAULT 1,
    generation  bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (family, lane)
) WITH (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

-- Facts, in segments: a segment is a range of positions in each lane, named in the lane row, and a partition that
-- is made ahead and dropped whole.
CREATE TABLE lanes.fact (
    family      "char" NOT NULL,
    lane        smallint NOT NULL,
    kind        smallint NOT NULL,
    segment     integer NOT NULL,
    position    bigint NOT NULL,
    lo          bigint NOT NULL,
    hi          bigint NOT NULL,
    subject     text NOT NULL,
    data        bytea NOT NULL,
    PRIMARY KEY (family, lane, position, segment)
) PARTITION BY RANGE (segment);

CREATE INDEX fact_subject ON lanes.fact (family, lane, subject, position);

CREATE TABLE lanes.segment (
    number      integer PRIMARY KEY,
    created     timestamptz NOT NULL DEFAULT now(),
    opened      timestamptz
);

-- Which history positions belong to. `number` counts along the parents; it is unique, so that a generation has one
-- successor. `room_heads` and `user_heads` are the heads when it began.
CREATE TABLE lanes.generation (
    id          bigint PRIMARY KEY,
    number      integer NOT NULL UNIQUE,
    parent      bigint,
    timeline    integer NOT NULL,
    system_id   bigint NOT NULL,
    reason      text NOT NULL,
    started     timestamptz NOT NULL DEFAULT now(),
    room_heads  bigint[] NOT NULL,
    user_heads  bigint[] NOT NULL
);

-- Where a worker's shard stands in a lane. Written in the transaction of its effect, and only if (epoch, position)
-- is what the writer read: a zombie owner finds that it is not.
CREATE TABLE lanes.cursor (
    worker      text NOT NULL,
    shard       integer NOT NULL,
    family      "char" NOT NULL,
    lane        smallint NOT NULL,
    generation  bigint NOT NULL,
    position    bigint NOT NULL,
    epoch       bigint NOT NULL,
    PRIMARY KEY (worker, shard, family, lane)
) WITH (fillfactor = 50);
