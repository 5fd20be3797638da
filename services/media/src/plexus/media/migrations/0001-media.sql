-- Media of this server. A row with an object has its whole content; one without is reserved (POST /create) until
-- expires_ts. Times in milliseconds.
CREATE SCHEMA media;

CREATE TABLE media.item (
    media_id text PRIMARY KEY,
    uploader text NOT NULL,
    created_ts bigint NOT NULL,
    expires_ts bigint,
    object text,
    size bigint,
    content_type text,
    filename text,
    CHECK ((object IS NULL) = (expires_ts IS NOT NULL)),
    CHECK ((object IS NULL) = (size IS NULL))
);

-- The sweep asks which objects have a row.
CREATE UNIQUE INDEX item_object ON media.item (object) WHERE object IS NOT NULL;

-- How many a user has reserved, and which have expired.
CREATE INDEX item_reserved ON media.item (uploader, expires_ts) WHERE object IS NULL;
