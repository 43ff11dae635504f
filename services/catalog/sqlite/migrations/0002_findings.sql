-- What lists, search, facets and exports go by: derived by services/catalog/findings.py from images, results
-- and corrections, in the same transaction. Filled for the images of version 1 by the rebuild that follows.

-- Versions of what is derived and marks of background work.
CREATE TABLE marks (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

ALTER TABLE images ADD COLUMN corrections BLOB NOT NULL DEFAULT x'';
DROP INDEX images_by_time;
DROP INDEX images_by_state;
-- Some bytes have a few analyses, which the index of the UNIQUE constraint finds as well.
DROP INDEX analyses_by_time;
CREATE INDEX images_hidden ON images (delete_time_us, number) WHERE delete_time_us IS NOT NULL;
DROP TABLE labels;

-- Counters are added up once a transaction by services/catalog/sqlite/counters.py; a trigger would do so
-- for every row.
DROP TRIGGER image_created;
DROP TRIGGER image_moved;
DROP TRIGGER image_hidden;
DROP TRIGGER image_restored;
DROP TRIGGER image_deleted;
DROP TRIGGER blob_shown;
DROP TRIGGER blob_hidden;
DROP TRIGGER analysis_stored;
DROP TRIGGER analysis_dropped;

-- An image that nothing was written for showed the newest of its bytes; now this is its own.
UPDATE images SET
    insights_id = coalesce(insights_id, (
        SELECT a.id FROM analyses a WHERE a.blob_id = images.blob_id AND a.analyzer = 'insights'
        ORDER BY a.create_time_us DESC, a.id DESC LIMIT 1)),
    caption_id = coalesce(caption_id, (
        SELECT a.id FROM analyses a WHERE a.blob_id = images.blob_id AND a.analyzer = 'caption'
        ORDER BY a.create_time_us DESC, a.id DESC LIMIT 1))
WHERE state >= 3;

-- Bytes: garbage since then when nothing refers to them; condemned: nothing may refer to them any more;
-- collected: the bytes are gone, and generation says for which time.
ALTER TABLE blobs ADD COLUMN garbage_since_us INTEGER;
ALTER TABLE blobs ADD COLUMN fate INTEGER NOT NULL DEFAULT 0 CHECK (fate BETWEEN 0 AND 2);
ALTER TABLE blobs ADD COLUMN generation INTEGER NOT NULL DEFAULT 0;
CREATE INDEX blobs_garbage ON blobs (garbage_since_us, id) WHERE garbage_since_us IS NOT NULL AND fate < 2;
CREATE INDEX blobs_repeated ON blobs (sha256) WHERE live_count > 1;

-- Visible images in the order of lists; numbers are -1 where not measured. colors: three bytes (RGB) each.
CREATE TABLE facts (
    create_time_us INTEGER NOT NULL,
    number INTEGER NOT NULL,
    state INTEGER NOT NULL,
    format INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    quality INTEGER NOT NULL,
    face_count INTEGER NOT NULL,
    blur INTEGER NOT NULL,
    scene INTEGER NOT NULL,
    has_text INTEGER NOT NULL,
    name TEXT NOT NULL,
    colors BLOB NOT NULL,
    PRIMARY KEY (create_time_us, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX facts_by_size ON facts (size_bytes, number);
CREATE INDEX facts_by_quality ON facts (quality, number);

-- Values that images have. field is a TermField, or 'color' for a cell of the Lab space. The last two bits of
-- an id say what is kept of the value: 0 postings and facets, 1 facets, 2 postings.
CREATE TABLE terms (
    id INTEGER PRIMARY KEY,
    field TEXT NOT NULL,
    value TEXT NOT NULL,
    UNIQUE (field, value)
) STRICT;

-- Images by value, in the order of lists; visible ones only.
CREATE TABLE postings (
    term_id INTEGER NOT NULL,
    create_time_us INTEGER NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (term_id, create_time_us, number)
) STRICT, WITHOUT ROWID;

-- The values of each visible image, as packed 32-bit ids of terms: what to take back when it changes.
CREATE TABLE image_terms (
    number INTEGER PRIMARY KEY,
    term_ids BLOB NOT NULL
) STRICT;

-- How many visible images have a value: in all (scope 0), and by batch (scope is the term of the batch).
CREATE TABLE facets (
    scope INTEGER NOT NULL,
    term_id INTEGER NOT NULL,
    field TEXT NOT NULL,
    value TEXT NOT NULL,
    count INTEGER NOT NULL CHECK (count > 0),
    PRIMARY KEY (scope, term_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX facets_by_count ON facets (scope, field, count DESC, value);

-- The columns of exports that come from results (services.catalog.findings.Sheet).
CREATE TABLE sheets (
    number INTEGER PRIMARY KEY,
    title TEXT, caption TEXT, tags TEXT, objects TEXT, caption_language TEXT, caption_provider TEXT,
    caption_model TEXT, caption_degraded INTEGER, brightness INTEGER, contrast REAL, sharpness REAL,
    blur_level TEXT, quality_score REAL, shadow_share REAL, highlight_share REAL, colorfulness REAL,
    dominant_colors TEXT, scene TEXT, scene_confidence REAL, face_count INTEGER, text TEXT, word_count INTEGER,
    barcodes TEXT, moderation_score REAL, phash TEXT, camera_make TEXT, camera_model TEXT, lens_model TEXT,
    taken_time_us INTEGER, latitude REAL, longitude REAL, analyzer_version TEXT, analyzer_elapsed_ms REAL,
    error_reason TEXT, error_message TEXT
) STRICT;

-- Words of visible images (services.catalog.findings.Document), cut and folded before they come here: the
-- ascii tokenizer only splits at the spaces between them.
CREATE VIRTUAL TABLE documents USING fts5 (
    names, tags, caption, objects, text, tokenize = 'ascii', columnsize = 0
);

-- How visible images look; a change gives a new sequence. Hashes as signed 64-bit numbers.
CREATE TABLE looks (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    number INTEGER NOT NULL UNIQUE,
    phash INTEGER NOT NULL,
    dhash INTEGER NOT NULL,
    signature BLOB NOT NULL
) STRICT;

CREATE TABLE look_pairs (
    number INTEGER NOT NULL,
    earlier INTEGER NOT NULL,
    distance INTEGER NOT NULL,
    PRIMARY KEY (number, earlier)
) STRICT, WITHOUT ROWID;
