-- Keys that other servers have published. Times in milliseconds; expired_ts is set when the server has retired the key.
CREATE SCHEMA wire;

CREATE TABLE wire.server_key (
    server_name text NOT NULL,
    key_id text NOT NULL,
    public bytea NOT NULL,
    valid_until_ts bigint NOT NULL,
    expired_ts bigint,
    PRIMARY KEY (server_name, key_id)
);
