-- Who leads a periodic job. Its few rows are updated in place: no index but the key, so that updates stay HOT.
CREATE SCHEMA IF NOT EXISTS platform;

CREATE TABLE platform.lease (
    name text PRIMARY KEY,
    holder text NOT NULL,
    epoch bigint NOT NULL,
    expires timestamptz NOT NULL
) WITH (fillfactor = 50);
