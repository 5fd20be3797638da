-- Whether a device asks to be hidden. Presence reads it when a process begins, see plexus.users.presence.
-- depends: 0009-devices

ALTER TABLE users.device ADD COLUMN hidden boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN users.device.hidden IS 'it said offline when it last said anything of its presence';

-- When and from where devices of one lane were last seen, many at once, and whether they are hidden: null for those of
-- which nothing new is known. Nobody is told.
CREATE FUNCTION users.touch_devices(
    p_lane smallint, p_users text[], p_devices text[], p_times bigint[], p_ips text[], p_hidden boolean[]
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1..cardinality(p_users) LOOP
        UPDATE users.device
            SET last_seen_ts = p_times[i], last_seen_ip = coalesce(p_ips[i], last_seen_ip),
                hidden = coalesce(p_hidden[i], hidden)
            WHERE lane = p_lane AND user_id = p_users[i] AND device_id = p_devices[i]
              AND (last_seen_ts IS NULL OR last_seen_ts < p_times[i]);
    END LOOP;
END $$;
