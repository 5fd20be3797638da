-- Accounts that an administrator has locked or suspended; both can be ended again.
-- depends: 0005-refresh

ALTER TABLE users.account
    ADD COLUMN locked boolean NOT NULL DEFAULT false,
    ADD COLUMN suspended boolean NOT NULL DEFAULT false;

-- NULL leaves as it is. result: ok | gone. position: of the REVOKED fact for all devices, when something has changed:
-- the tokens stay, but whoever remembers what they permit must read again.
CREATE OR REPLACE FUNCTION users.moderate(
    p_lane smallint, p_user text, p_locked boolean, p_suspended boolean, OUT result text, OUT "position" bigint
) LANGUAGE plpgsql AS $$
DECLARE
    v_locked boolean;
    v_suspended boolean;
BEGIN
    SELECT a.locked, a.suspended INTO v_locked, v_suspended FROM users.account a
        WHERE a.lane = p_lane AND a.user_id = p_user AND a.deactivated_ts IS NULL FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        result := 'gone';
        RETURN;
    END IF;
    result := 'ok';
    IF coalesce(p_locked, v_locked) = v_locked AND coalesce(p_suspended, v_suspended) = v_suspended THEN
        RETURN;
    END IF;
    UPDATE users.account a SET locked = coalesce(p_locked, v_locked), suspended = coalesce(p_suspended, v_suspended)
        WHERE a.lane = p_lane AND a.user_id = p_user;
    "position" := users.tell(p_lane, p_user, ARRAY[6]::smallint[], ARRAY['']::bytea[]);
END $$;
