-- Tokens that live for minutes and say who somebody is, by their SHA-256: to log in with once ('login'), and to be
-- shown to others ('openid'). They give no other right. Whoever writes one takes away a few that have expired.
-- depends: 0001-tables

CREATE TABLE users.short_token (
    lane smallint NOT NULL,
    token bytea NOT NULL,
    kind text NOT NULL,
    user_id text NOT NULL,
    expires_ts bigint NOT NULL,
    PRIMARY KEY (lane, token)
) PARTITION BY LIST (lane);
CREATE INDEX short_token_expiry ON users.short_token (lane, expires_ts);

DO $$
BEGIN
    FOR part IN 0..3 LOOP
        EXECUTE format('CREATE TABLE users.short_token_%s PARTITION OF users.short_token FOR VALUES IN (%s, %s, %s, %s)',
                       part, part * 4, part * 4 + 1, part * 4 + 2, part * 4 + 3);
    END LOOP;
END $$;
