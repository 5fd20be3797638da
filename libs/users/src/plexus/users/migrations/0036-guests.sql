-- Who is a guest: few or nobody, and asked for every minute.
-- depends: 0001-tables

CREATE INDEX account_guest ON users.account (user_id COLLATE "C") WHERE guest AND deactivated_ts IS NULL;
