-- Batches, their items, and the chunks that these are worked on in.

CREATE TABLE batches (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid BLOB NOT NULL UNIQUE CHECK (length(uuid) = 16),
    -- The uuid of the parent; empty for a batch that is no part.
    parent BLOB NOT NULL CHECK (length(parent) IN (0, 16)),
    part_number INTEGER NOT NULL,
    part_count INTEGER NOT NULL,
    display_name TEXT NOT NULL,
    options BLOB NOT NULL,
    weight INTEGER NOT NULL,
    labels TEXT NOT NULL,
    request_id TEXT NOT NULL,
    create_time_us INTEGER NOT NULL,
    state INTEGER NOT NULL CHECK (state BETWEEN 1 AND 7),
    total INTEGER NOT NULL DEFAULT 0,
    succeeded INTEGER NOT NULL DEFAULT 0 CHECK (succeeded >= 0),
    failed INTEGER NOT NULL DEFAULT 0 CHECK (failed >= 0),
    retrying INTEGER NOT NULL DEFAULT 0 CHECK (retrying >= 0),
    cancelled INTEGER NOT NULL DEFAULT 0 CHECK (cancelled >= 0),
    input_tokens INTEGER NOT NULL DEFAULT 0,
    output_tokens INTEGER NOT NULL DEFAULT 0,
    cost_micros INTEGER NOT NULL DEFAULT 0,
    update_time_us INTEGER NOT NULL,
    start_time_us INTEGER,
    end_time_us INTEGER,
    error BLOB NOT NULL DEFAULT x'',
    chunk_count INTEGER NOT NULL DEFAULT 0,
    revision INTEGER NOT NULL DEFAULT 1,
    CHECK (succeeded + failed + retrying + cancelled <= total)
) STRICT;

CREATE UNIQUE INDEX batches_by_request ON batches (request_id) WHERE request_id <> '';
CREATE UNIQUE INDEX batches_by_part ON batches (parent, part_number) WHERE parent <> x'';
CREATE INDEX batches_by_parent ON batches (parent, uuid);
CREATE INDEX batches_by_parent_state ON batches (parent, state, uuid);
CREATE INDEX batches_by_state ON batches (state, uuid);

-- id is the batch's id times 2^32, plus the row: items lie together, in order.
CREATE TABLE items (
    id INTEGER PRIMARY KEY,
    batch_id INTEGER NOT NULL,
    state INTEGER NOT NULL CHECK (state IN (1, 3, 4, 5)),
    attempt_count INTEGER NOT NULL DEFAULT 0,
    update_time_us INTEGER NOT NULL,
    image BLOB CHECK (length(image) = 16),
    url TEXT NOT NULL,
    columns TEXT NOT NULL,
    error BLOB NOT NULL DEFAULT x''
) STRICT;

CREATE INDEX items_by_state ON items (batch_id, state, id);

-- item_rows are row numbers as unsigned 32-bit integers, the low byte first.
CREATE TABLE chunks (
    batch_id INTEGER NOT NULL,
    number INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    item_rows BLOB NOT NULL,
    create_time_us INTEGER NOT NULL,
    done_time_us INTEGER,
    successor INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (batch_id, number)
) STRICT, WITHOUT ROWID;

CREATE INDEX chunks_missing ON chunks (batch_id, number) WHERE done_time_us IS NULL;
