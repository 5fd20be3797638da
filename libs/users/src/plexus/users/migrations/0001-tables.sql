-- The tables keyed by a user. The lane comes first in every key, and every table is split by lane into four
-- groups of four: a later move of a group to another primary needs nothing but the partition.
-- Times are milliseconds since the epoch. JSON that only passes through is bytea.
-- depends:

CREATE SCHEMA IF NOT EXISTS users;

CREATE TABLE users.account (
    lane smallint NOT NULL,
    user_id text NOT NULL,
    password_hash text,
    created_ts bigint NOT NULL,
    guest boolean NOT NULL,
    admin boolean NOT NULL,
    deactivated_ts bigint,
    erased boolean NOT NULL DEFAULT false,
    PRIMARY KEY (lane, user_id)
) PARTITION BY LIST (lane);

CREATE TABLE users.device (
    lane smallint NOT NULL,
    user_id text NOT NULL,
    device_id text NOT NULL,
    display_name text,
    created_ts bigint NOT NULL,
    last_seen_ts bigint,
    last_seen_ip text,
    PRIMARY KEY (lane, user_id, device_id)
) PARTITION BY LIST (lane);

-- One row a pair of tokens, by the SHA-256 of each. ``parent`` is the refresh token that this pair came from, until
-- the pair is first used: then the parent's pair is revoked.
CREATE TABLE users.token (
    lane smallint NOT NULL,
    access bytea NOT NULL,
    user_id text NOT NULL,
    device_id text NOT NULL,
    created_ts bigint NOT NULL,
    expires_ts bigint,
    refresh bytea,
    parent bytea,
    PRIMARY KEY (lane, access),
    UNIQUE (lane, refresh)
) PARTITION BY LIST (lane);
CREATE INDEX token_device ON users.token (lane, user_id, device_id);

CREATE TABLE users.account_data (
    lane smallint NOT NULL,
    user_id text NOT NULL,
    room_id text NOT NULL,
    type text NOT NULL,
    content bytea NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (lane, user_id, room_id, type)
) PARTITION BY LIST (lane);
CREATE INDEX account_data_position ON users.account_data (lane, user_id, position);

-- What a user changed about the default push rules, as one document; see plexus.users.push_rules.
CREATE TABLE users.push_rules (
    lane smallint NOT NULL,
    user_id text NOT NULL,
    rules bytea NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (lane, user_id)
) PARTITION BY LIST (lane);

CREATE TABLE users.profile (
    lane smallint NOT NULL,
    user_id text NOT NULL,
    field text NOT NULL,
    value bytea NOT NULL,
    PRIMARY KEY (lane, user_id, field)
) PARTITION BY LIST (lane);

CREATE TABLE users.filter (
    lane smallint NOT NULL,
    user_id text NOT NULL,
    num integer NOT NULL,
    hash bytea NOT NULL,
    definition bytea NOT NULL,
    PRIMARY KEY (lane, user_id, num),
    UNIQUE (lane, user_id, hash)
) PARTITION BY LIST (lane);

CREATE TABLE users.device_key (
    lane smallint NOT NULL,
    user_id text NOT NULL,
    device_id text NOT NULL,
    keys bytea NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (lane, user_id, device_id)
) PARTITION BY LIST (lane);

CREATE TABLE users.one_time_key (
    lane smallint NOT NULL,
    user_id text NOT NULL,
    device_id text NOT NULL,
    algorithm text NOT NULL,
    key_id text NOT NULL,
    key bytea NOT NULL,
    created_ts bigint NOT NULL,
    PRIMARY KEY (lane, user_id, device_id, algorithm, key_id)
) PARTITION BY LIST (lane);

CREATE TABLE users.fallback_key (
    lane smallint NOT NULL,
    user_id text NOT NULL,
    device_id text NOT NULL,
    algorithm text NOT NULL,
    key_id text NOT NULL,
    key bytea NOT NULL,
    used boolean NOT NULL,
    PRIMARY KEY (lane, user_id, device_id, algorithm)
) PARTITION BY LIST (lane);

-- The inbox of a device. The sequence is the position of the TO_DEVICE fact in the user's lane: it rises, is given
-- in order of visibility, and is cut back with the lane when a generation is lost.
CREATE TABLE users.to_device (
    lane smallint NOT NULL,
    user_id text NOT NULL,
    device_id text NOT NULL,
    sequence bigint NOT NULL,
    event bytea NOT NULL,
    PRIMARY KEY (lane, user_id, device_id, sequence)
) PARTITION BY LIST (lane);

-- Work owed to every room of a user, written with the change that owes it and taken away when it is done.
CREATE TABLE users.room_task (
    lane smallint NOT NULL,
    user_id text NOT NULL,
    kind text NOT NULL,
    version bigint NOT NULL,
    lease_until bigint NOT NULL,
    PRIMARY KEY (lane, user_id, kind)
) PARTITION BY LIST (lane);

-- Not keyed by a user, so without a lane.
CREATE TABLE users.registration_token (
    token text PRIMARY KEY,
    uses_allowed integer,
    uses integer NOT NULL DEFAULT 0,
    expires_ts bigint
);

-- User-interactive authentication that has completed some of its stages. ``request`` is the SHA-256 of the request
-- that it is for, ``results`` what the stages found, by stage.
CREATE TABLE users.uia_session (
    id text PRIMARY KEY,
    request bytea NOT NULL,
    completed text[] NOT NULL,
    results jsonb NOT NULL,
    expires_ts bigint NOT NULL
);
CREATE INDEX uia_session_expiry ON users.uia_session (expires_ts);

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['account', 'device', 'token', 'account_data', 'push_rules', 'profile', 'filter',
                                'device_key', 'one_time_key', 'fallback_key', 'to_device', 'room_task'] LOOP
        FOR part IN 0..3 LOOP
            EXECUTE format('CREATE TABLE users.%I PARTITION OF users.%I FOR VALUES IN (%s, %s, %s, %s)',
                           name || '_' || part, name, part * 4, part * 4 + 1, part * 4 + 2, part * 4 + 3);
        END LOOP;
    END LOOP;
END $$;
