-- Images, the bytes they refer to, analyses of these bytes, and counters that triggers keep exact.

CREATE TABLE blobs (
    id INTEGER PRIMARY KEY,
    sha256 BLOB NOT NULL UNIQUE CHECK (length(sha256) = 32),
    blob_key TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    -- Images that refer to the bytes; those of them that are not deleted.
    ref_count INTEGER NOT NULL DEFAULT 0 CHECK (ref_count >= 0),
    live_count INTEGER NOT NULL DEFAULT 0 CHECK (live_count BETWEEN 0 AND ref_count)
) STRICT;

CREATE TABLE images (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid BLOB NOT NULL UNIQUE CHECK (length(uuid) = 16),
    blob_id INTEGER NOT NULL REFERENCES blobs (id),
    state INTEGER NOT NULL CHECK (state BETWEEN 1 AND 5),
    error BLOB NOT NULL DEFAULT x'',
    size_bytes INTEGER NOT NULL,
    format INTEGER NOT NULL,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    frame_count INTEGER NOT NULL,
    color_mode TEXT NOT NULL,
    display_name TEXT NOT NULL,
    labels TEXT NOT NULL,
    batch TEXT NOT NULL,
    process_options BLOB NOT NULL,
    request_id TEXT,
    create_time_us INTEGER NOT NULL,
    update_time_us INTEGER NOT NULL,
    process_time_us INTEGER,
    delete_time_us INTEGER,
    revision INTEGER NOT NULL DEFAULT 1,
    -- The analyses that were written for this very image. No foreign keys: analyses go with the last
    -- image only, and checking would need two more indexes.
    insights_id INTEGER,
    caption_id INTEGER
) STRICT;

CREATE UNIQUE INDEX images_by_request ON images (request_id) WHERE request_id IS NOT NULL;
-- What lists are filtered by stands in the index, so that rows that do not match are never read.
CREATE INDEX images_by_time ON images
    (create_time_us, number, format, size_bytes, width, height, delete_time_us)
    WHERE delete_time_us IS NULL;
CREATE INDEX images_by_state ON images
    (state, create_time_us, number, format, size_bytes, width, height, delete_time_us)
    WHERE delete_time_us IS NULL;
CREATE INDEX images_by_blob ON images (blob_id, create_time_us, number);

CREATE TABLE labels (
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    create_time_us INTEGER NOT NULL,
    number INTEGER NOT NULL REFERENCES images (number) ON DELETE CASCADE,
    PRIMARY KEY (key, value, create_time_us, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX labels_by_image ON labels (number);

CREATE TABLE analyses (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    blob_id INTEGER NOT NULL REFERENCES blobs (id) ON DELETE CASCADE,
    analyzer TEXT NOT NULL,
    version TEXT NOT NULL,
    settings_digest TEXT NOT NULL,
    create_time_us INTEGER NOT NULL,
    elapsed_us INTEGER NOT NULL,
    result BLOB NOT NULL,
    UNIQUE (blob_id, analyzer, version, settings_digest)
) STRICT;

CREATE INDEX analyses_by_time ON analyses (blob_id, analyzer, create_time_us, id);

-- kind is 'images', 'blobs', 'blob_bytes', 'analyses', 'state' or 'format'; key is the number of the state
-- or the format, 0 for the rest.
CREATE TABLE counters (
    kind TEXT NOT NULL,
    key INTEGER NOT NULL,
    count INTEGER NOT NULL CHECK (count >= 0),
    PRIMARY KEY (kind, key)
) STRICT, WITHOUT ROWID;

INSERT INTO counters VALUES ('images', 0, 0), ('blobs', 0, 0), ('blob_bytes', 0, 0), ('analyses', 0, 0);

CREATE TRIGGER image_created AFTER INSERT ON images BEGIN
    UPDATE blobs SET ref_count = ref_count + 1, live_count = live_count + 1 WHERE id = NEW.blob_id;
    UPDATE counters SET count = count + 1 WHERE kind = 'images' AND key = 0;
    INSERT INTO counters VALUES ('state', NEW.state, 1), ('format', NEW.format, 1)
        ON CONFLICT DO UPDATE SET count = count + 1;
END;

CREATE TRIGGER image_moved AFTER UPDATE OF state ON images
WHEN OLD.state <> NEW.state AND NEW.delete_time_us IS NULL BEGIN
    UPDATE counters SET count = count - 1 WHERE kind = 'state' AND key = OLD.state;
    INSERT INTO counters VALUES ('state', NEW.state, 1) ON CONFLICT DO UPDATE SET count = count + 1;
END;

CREATE TRIGGER image_hidden AFTER UPDATE OF delete_time_us ON images
WHEN OLD.delete_time_us IS NULL AND NEW.delete_time_us IS NOT NULL BEGIN
    UPDATE blobs SET live_count = live_count - 1 WHERE id = NEW.blob_id;
    UPDATE counters SET count = count - 1
        WHERE (kind, key) IN (VALUES ('images', 0), ('state', NEW.state), ('format', NEW.format));
END;

CREATE TRIGGER image_restored AFTER UPDATE OF delete_time_us ON images
WHEN OLD.delete_time_us IS NOT NULL AND NEW.delete_time_us IS NULL BEGIN
    UPDATE blobs SET live_count = live_count + 1 WHERE id = NEW.blob_id;
    UPDATE counters SET count = count + 1 WHERE kind = 'images' AND key = 0;
    INSERT INTO counters VALUES ('state', NEW.state, 1), ('format', NEW.format, 1)
        ON CONFLICT DO UPDATE SET count = count + 1;
END;

CREATE TRIGGER image_deleted AFTER DELETE ON images BEGIN
    UPDATE blobs SET ref_count = ref_count - 1, live_count = live_count - (OLD.delete_time_us IS NULL)
        WHERE id = OLD.blob_id;
    UPDATE counters SET count = count - 1
        WHERE OLD.delete_time_us IS NULL
          AND (kind, key) IN (VALUES ('images', 0), ('state', OLD.state), ('format', OLD.format));
END;

CREATE TRIGGER blob_shown AFTER UPDATE OF live_count ON blobs
WHEN OLD.live_count = 0 AND NEW.live_count > 0 BEGIN
    UPDATE counters SET count = count + 1 WHERE kind = 'blobs' AND key = 0;
    UPDATE counters SET count = count + NEW.size_bytes WHERE kind = 'blob_bytes' AND key = 0;
END;

CREATE TRIGGER blob_hidden AFTER UPDATE OF live_count ON blobs
WHEN OLD.live_count > 0 AND NEW.live_count = 0 BEGIN
    UPDATE counters SET count = count - 1 WHERE kind = 'blobs' AND key = 0;
    UPDATE counters SET count = count - NEW.size_bytes WHERE kind = 'blob_bytes' AND key = 0;
END;

CREATE TRIGGER analysis_stored AFTER INSERT ON analyses BEGIN
    UPDATE counters SET count = count + 1 WHERE kind = 'analyses' AND key = 0;
END;

CREATE TRIGGER analysis_dropped AFTER DELETE ON analyses BEGIN
    UPDATE counters SET count = count - 1 WHERE kind = 'analyses' AND key = 0;
END;
