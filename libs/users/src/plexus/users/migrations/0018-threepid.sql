-- Email addresses of accounts, and their validation. Neither is keyed by a user: an address belongs to one account of
-- the whole server, and who validates one may have no account yet.
-- depends: 0001-tables

CREATE TABLE users.threepid (
    medium text NOT NULL,
    address text NOT NULL,
    user_id text NOT NULL,
    validated_ts bigint NOT NULL,
    added_ts bigint NOT NULL,
    PRIMARY KEY (medium, address)
);
CREATE INDEX threepid_user ON users.threepid (user_id);

-- One validation for each purpose ('register', 'password', 'add'), address and client secret. ``token`` is the SHA-256
-- of what the email says, ``attempt`` the client's count of emails.
CREATE TABLE users.email_validation (
    id text PRIMARY KEY,
    purpose text NOT NULL,
    email text NOT NULL,
    client_secret text NOT NULL,
    token bytea NOT NULL,
    attempt bigint NOT NULL,
    next_link text,
    validated_ts bigint,
    expires_ts bigint NOT NULL,
    UNIQUE (purpose, email, client_secret)
);
CREATE INDEX email_validation_expiry ON users.email_validation (expires_ts);
