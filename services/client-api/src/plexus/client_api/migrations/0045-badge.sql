-- What each pusher was last told of the number of unread messages, unless that was nothing: whoever reads on another
-- device wants the badge to go. It is told again by a row of client_api.push with room and num 0, of which there is one
-- a lane and pusher, however much was read.
-- depends: 0010-push

CREATE TABLE client_api.badge (
    user_id text    NOT NULL,
    app_id  text    NOT NULL,
    pushkey text    NOT NULL,
    unread  integer NOT NULL,
    PRIMARY KEY (user_id, app_id, pushkey)
);
