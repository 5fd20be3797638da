-- Users that can be searched for, and the rooms whose members anybody may find. Made by the worker "user_directory",
-- which follows all lanes; decision 0028.

CREATE TABLE client_api.directory_room (              -- a row: anybody may join it or read in it
    lane smallint NOT NULL,
    room integer  NOT NULL,
    PRIMARY KEY (lane, room)
);

CREATE TABLE client_api.directory_user (
    lane         smallint NOT NULL,                  -- of the user
    user_id      text     NOT NULL,
    display_name text,
    avatar_url   text,
    folded_id    text COLLATE "C" NOT NULL,
    folded_name  text,
    words        tsvector NOT NULL,                  -- of the localpart and of the name
    is_public    boolean  NOT NULL,                  -- in a room of directory_room
    PRIMARY KEY (lane, user_id)
);
CREATE INDEX directory_user_words ON client_api.directory_user USING gin (words) WITH (fastupdate = off);
CREATE INDEX directory_user_id ON client_api.directory_user (folded_id);

-- One step of the worker: g_ users that go, u_ users as they are now, o_ rooms that are open now (1) or not (0). NULL
-- for in_to: the cursor stays, because more of the step follows. False, and nothing done, if it is not at in_from.
CREATE OR REPLACE FUNCTION client_api.directory_index(
    in_family     text,
    in_lane       smallint,
    in_generation bigint,
    in_from       bigint,
    in_to         bigint,
    o_room        integer[],
    o_open        integer[],
    g_lane        smallint[],
    g_user        text[],
    u_lane        smallint[],
    u_user        text[],
    u_name        text[],
    u_avatar      text[],
    u_folded_id   text[],
    u_folded_name text[],
    u_words       text[],
    u_public      integer[]
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    UPDATE lanes.cursor SET position = coalesce(in_to, position)
     WHERE worker = 'user_directory' AND shard = 0 AND family = in_family::"char" AND lane = in_lane
       AND generation = in_generation AND position = in_from;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    FOR i IN 1 .. cardinality(o_room) LOOP
        IF o_open[i] = 1 THEN
            INSERT INTO client_api.directory_room (lane, room) VALUES (in_lane, o_room[i]) ON CONFLICT DO NOTHING;
        ELSE
            DELETE FROM client_api.directory_room WHERE lane = in_lane AND room = o_room[i];
        END IF;
    END LOOP;
    FOR i IN 1 .. cardinality(g_user) LOOP
        DELETE FROM client_api.directory_user WHERE lane = g_lane[i] AND user_id = g_user[i];
    END LOOP;
    FOR i IN 1 .. cardinality(u_user) LOOP
        INSERT INTO client_api.directory_user AS u
               (lane, user_id, display_name, avatar_url, folded_id, folded_name, words, is_public)
        VALUES (u_lane[i], u_user[i], u_name[i], u_avatar[i], u_folded_id[i], u_folded_name[i],
                u_words[i]::tsvector, u_public[i] = 1)
        ON CONFLICT (lane, user_id) DO UPDATE
           SET display_name = excluded.display_name, avatar_url = excluded.avatar_url,
               folded_name = excluded.folded_name, words = excluded.words, is_public = excluded.is_public
         WHERE (u.display_name, u.avatar_url, u.is_public)
               IS DISTINCT FROM (excluded.display_name, excluded.avatar_url, excluded.is_public);
    END LOOP;
    RETURN true;
END
$$;
