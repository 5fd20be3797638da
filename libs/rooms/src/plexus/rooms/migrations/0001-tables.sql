-- The tables of the rooms.
--
-- Every table but alias begins its primary key with (lane, room): the lane so that a map from lanes to several
-- primaries stays possible, the room's number because nothing is shared between rooms. `num` numbers the events of
-- a room; a live event's ordinal is its num. An interval is from_ordinal <= n < to_ordinal and says what holds after
-- event n; the one that holds now ends at 2^63-1.

CREATE SCHEMA rooms;

CREATE TABLE rooms.room (
    lane            smallint NOT NULL,
    room            integer  NOT NULL,
    room_id         text     NOT NULL,
    room_version    text     NOT NULL,
    creator         text     NOT NULL,
    created         bigint   NOT NULL,               -- milliseconds
    salt            bytea    NOT NULL,               -- keys the hashes of this room's snapshots
    version         bigint   NOT NULL,               -- counts writes: what a writer has seen
    head_num        bigint   NOT NULL,
    head_ordinal    bigint   NOT NULL,
    head_position   bigint   NOT NULL,               -- of the last fact of events
    depth           bigint   NOT NULL,               -- the greatest of the extremities
    extremities     bigint[] NOT NULL,
    snapshot        integer  NOT NULL,               -- of the state after the extremities
    next_state_key  integer  NOT NULL,
    next_snapshot   integer  NOT NULL,
    next_page       integer  NOT NULL,
    joined_members  integer  NOT NULL,
    invited_members integer  NOT NULL,
    published       boolean  NOT NULL,
    partial         boolean  NOT NULL DEFAULT false, -- joined before all of its state is here
    PRIMARY KEY (lane, room),
    UNIQUE (lane, room_id)
) PARTITION BY LIST (lane);

CREATE TABLE rooms.event (
    lane             smallint NOT NULL,
    room             integer  NOT NULL,
    num              bigint   NOT NULL,
    ordinal          bigint,                         -- NULL: no place in the timeline (outlier, rejected)
    sub              integer  NOT NULL DEFAULT 0,    -- < 0: fetched later into the gap before `ordinal`
    event_id         text     NOT NULL,
    type             text     NOT NULL,
    state_key        text,
    sender           text     NOT NULL,
    depth            bigint   NOT NULL,
    origin_server_ts bigint   NOT NULL,
    snap_before      integer  NOT NULL,
    snap_after       integer  NOT NULL,
    prev             bigint[] NOT NULL,
    auth             bigint[] NOT NULL,
    flags            smallint NOT NULL DEFAULT 0,    -- 1 rejected, 2 soft-failed, 4 outlier, 8 a gap before it
    redacts          text,
    replaces         bigint,                         -- the state event that had its place before
    redacted_by      bigint,                         -- then raw is the redacted form
    txn_device       text,
    txn_id           text,
    raw              bytea    NOT NULL,              -- the PDU in canonical JSON
    PRIMARY KEY (lane, room, num),
    UNIQUE (lane, event_id)
) PARTITION BY LIST (lane);
CREATE INDEX event_history ON rooms.event (lane, room, ordinal, sub) WHERE sub < 0;

-- (type, state key) of a room to the number that stands for it in snapshots.
CREATE TABLE rooms.state_key (
    lane      smallint NOT NULL,
    room      integer  NOT NULL,
    type      text     NOT NULL,
    state_key text     NOT NULL,
    num       integer  NOT NULL,
    PRIMARY KEY (lane, room, type, state_key)
) PARTITION BY LIST (lane);
CREATE INDEX state_key_num ON rooms.state_key (lane, room, num);

-- One row a distinct state. A checkpoint has pages; any other one has a parent and what differs from it.
CREATE TABLE rooms.snapshot (
    lane    smallint NOT NULL,
    room    integer  NOT NULL,
    snap    integer  NOT NULL,
    parent  integer,
    step    smallint NOT NULL,                       -- changes since the checkpoint, at most 255; as many parents
                                                     -- lead to it as the number has bits set, so at most 8
    hash    bytea    NOT NULL,
    delta   bytea    NOT NULL,                       -- entries (key int4, event int8; 0 removes), sorted by key
    pages   bytea,                                   -- entries (first key int4, page int4), sorted
    partial boolean  NOT NULL DEFAULT false,
    PRIMARY KEY (lane, room, snap),
    UNIQUE (lane, room, hash)
) PARTITION BY LIST (lane);

-- At most 1,000 entries (key int4, event int8), sorted. Never changed, shared by checkpoints.
CREATE TABLE rooms.page (
    lane    smallint NOT NULL,
    room    integer  NOT NULL,
    page    integer  NOT NULL,
    entries bytea    NOT NULL,
    PRIMARY KEY (lane, room, page)
) PARTITION BY LIST (lane);
ALTER TABLE rooms.page ALTER COLUMN entries SET STORAGE EXTERNAL;

CREATE TABLE rooms.current_state (
    lane      smallint NOT NULL,
    room      integer  NOT NULL,
    type      text     NOT NULL,
    state_key text     NOT NULL,
    num       bigint   NOT NULL,
    event_id  text     NOT NULL,
    position  bigint   NOT NULL,
    PRIMARY KEY (lane, room, type, state_key)
) PARTITION BY LIST (lane);

CREATE TABLE rooms.membership (
    lane         smallint NOT NULL,
    room         integer  NOT NULL,
    user_id      text     NOT NULL,
    from_ordinal bigint   NOT NULL,
    to_ordinal   bigint   NOT NULL DEFAULT 9223372036854775807,
    membership   smallint NOT NULL,                  -- 1 join, 2 invite, 3 knock, 4 leave, 5 ban
    num          bigint   NOT NULL,                  -- the member event in force
    position     bigint   NOT NULL,                  -- of the fact that began the interval
    to_position  bigint   NOT NULL DEFAULT 9223372036854775807,
    sender       text     NOT NULL,
    forgotten    boolean  NOT NULL DEFAULT false,
    PRIMARY KEY (lane, room, user_id, from_ordinal)
) PARTITION BY LIST (lane);
-- The rooms of a user, and the present members of a room in the order in which they came.
CREATE INDEX membership_user ON rooms.membership (user_id) WHERE to_ordinal = 9223372036854775807;
CREATE INDEX membership_present ON rooms.membership (lane, room, from_ordinal)
    WHERE to_ordinal = 9223372036854775807 AND membership <= 2;

CREATE TABLE rooms.visibility (
    lane               smallint NOT NULL,
    room               integer  NOT NULL,
    from_ordinal       bigint   NOT NULL,
    to_ordinal         bigint   NOT NULL DEFAULT 9223372036854775807,
    history_visibility text     NOT NULL,
    PRIMARY KEY (lane, room, from_ordinal)
) PARTITION BY LIST (lane);

-- Which server was in the room, so which was owed which event.
CREATE TABLE rooms.host (
    lane           smallint NOT NULL,
    room           integer  NOT NULL,
    server         text     NOT NULL,
    from_ordinal   bigint   NOT NULL,
    to_ordinal     bigint   NOT NULL DEFAULT 9223372036854775807,
    joined_members integer  NOT NULL,
    PRIMARY KEY (lane, room, server, from_ordinal)
) PARTITION BY LIST (lane);

-- (device, endpoint, transaction id) to the event it made.
CREATE TABLE rooms.txn (
    lane      smallint NOT NULL,
    room      integer  NOT NULL,
    user_id   text     NOT NULL,
    device_id text     NOT NULL,
    endpoint  text     NOT NULL,
    txn_id    text     NOT NULL,
    num       bigint   NOT NULL,
    ts        bigint   NOT NULL,                     -- milliseconds
    PRIMARY KEY (lane, room, user_id, device_id, endpoint, txn_id)
) PARTITION BY LIST (lane);

CREATE TABLE rooms.alias (
    alias   text   PRIMARY KEY,
    room_id text   NOT NULL,
    creator text   NOT NULL,
    created bigint NOT NULL                          -- milliseconds
);
CREATE INDEX alias_room ON rooms.alias (room_id);
