-- Captions that need not be asked for again, and what captions cost.

CREATE TABLE caption_cache (
    id INTEGER PRIMARY KEY,
    key BLOB NOT NULL UNIQUE CHECK (length(key) = 32),
    -- Of the image.
    sha256 BLOB NOT NULL CHECK (length(sha256) = 32),
    time_us INTEGER NOT NULL,
    -- A serialized Caption.
    result BLOB NOT NULL
) STRICT;

CREATE INDEX caption_cache_by_image ON caption_cache (sha256);
CREATE INDEX caption_cache_by_time ON caption_cache (time_us, id);

INSERT INTO counters VALUES ('captions', 0, 0);

-- Not fired where an insert became an update.
CREATE TRIGGER caption_kept AFTER INSERT ON caption_cache BEGIN
    UPDATE counters SET count = count + 1 WHERE kind = 'captions' AND key = 0;
END;

CREATE TRIGGER caption_dropped AFTER DELETE ON caption_cache BEGIN
    UPDATE counters SET count = count - 1 WHERE kind = 'captions' AND key = 0;
END;

-- Calls that something is set aside for, and for a day those that were settled.
CREATE TABLE caption_calls (
    id BLOB PRIMARY KEY CHECK (length(id) = 16),
    state INTEGER NOT NULL CHECK (state BETWEEN 1 AND 3),
    -- When a held one expires, and when another is forgotten.
    due_us INTEGER NOT NULL,
    day TEXT NOT NULL,
    provider TEXT NOT NULL,
    batch TEXT NOT NULL,
    micros INTEGER NOT NULL CHECK (micros >= 0),
    tokens INTEGER NOT NULL CHECK (tokens >= 0)
) STRICT, WITHOUT ROWID;

CREATE INDEX caption_calls_by_state ON caption_calls (state, due_us);

-- Sums of days (YYYY-MM-DD) and months (YYYY-MM); an empty provider is all together.
CREATE TABLE caption_totals (
    period TEXT NOT NULL,
    provider TEXT NOT NULL,
    micros INTEGER NOT NULL CHECK (micros >= 0),
    tokens INTEGER NOT NULL CHECK (tokens >= 0),
    reserved_micros INTEGER NOT NULL CHECK (reserved_micros >= 0),
    reserved_tokens INTEGER NOT NULL CHECK (reserved_tokens >= 0),
    PRIMARY KEY (period, provider)
) STRICT, WITHOUT ROWID;

-- place: sorts rows as they are listed, see UsageKey; rows of all batches together come first.
CREATE TABLE caption_usage (
    place TEXT PRIMARY KEY,
    day TEXT NOT NULL,
    provider TEXT NOT NULL,
    batch TEXT NOT NULL,
    images INTEGER NOT NULL CHECK (images >= 0),
    cached INTEGER NOT NULL CHECK (cached >= 0),
    unsettled INTEGER NOT NULL CHECK (unsettled >= 0),
    input_tokens INTEGER NOT NULL CHECK (input_tokens >= 0),
    output_tokens INTEGER NOT NULL CHECK (output_tokens >= 0),
    micros INTEGER NOT NULL CHECK (micros >= 0)
) STRICT, WITHOUT ROWID;

CREATE INDEX caption_usage_by_batch ON caption_usage (batch, place) WHERE batch <> '';
