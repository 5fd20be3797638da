-- What identity servers know of our users: who has validated an address of an account (NULL: this server has), and
-- what is bound to a user, which outlives the account until the identity server has forgotten it too.
-- depends: 0018-threepid

ALTER TABLE users.threepid ADD COLUMN id_server text;

CREATE TABLE users.threepid_binding (
    lane smallint NOT NULL,
    user_id text NOT NULL,
    medium text NOT NULL,
    address text NOT NULL,
    id_server text NOT NULL,
    bound_ts bigint NOT NULL,
    PRIMARY KEY (lane, user_id, medium, address, id_server)
);
