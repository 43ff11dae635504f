-- People: groups of faces that look alike, and what was decided about them.

-- A row is a group of faces with a likeness of its own. One that was merged has a parent and shows as its
-- root; unmerging cuts it off again, with its own likeness.
CREATE TABLE people (
    uuid BLOB PRIMARY KEY CHECK (length(uuid) = 16),
    display_name TEXT NOT NULL,
    hidden INTEGER NOT NULL,
    -- 1 when it is no part of another and has a visible face or a name.
    listed INTEGER NOT NULL,
    -- Visible faces of the whole tree (of roots; 0 for others), and of this row alone.
    face_count INTEGER NOT NULL CHECK (face_count >= 0),
    own_count INTEGER NOT NULL CHECK (own_count >= 0),
    cover BLOB,
    chosen_cover BLOB,
    parent BLOB,
    root BLOB NOT NULL,
    -- 1 for another look of its parent, made by a face that was moved there; nobody merged it.
    look INTEGER NOT NULL,
    -- services.catalog.people.model.Likeness
    samples INTEGER NOT NULL,
    total BLOB NOT NULL,
    square_sum REAL NOT NULL,
    -- Ascends with every change of the likeness.
    sequence INTEGER NOT NULL,
    create_time_us INTEGER NOT NULL,
    update_time_us INTEGER NOT NULL,
    revision INTEGER NOT NULL
) STRICT;
CREATE INDEX people_shown ON people (face_count, uuid) WHERE listed = 1 AND hidden = 0;
CREATE INDEX people_listed ON people (face_count, uuid) WHERE listed = 1;
CREATE INDEX people_by_root ON people (root, uuid);
CREATE INDEX people_by_parent ON people (parent) WHERE parent IS NOT NULL;
CREATE INDEX people_by_sequence ON people (sequence);

CREATE TABLE faces (
    uuid BLOB NOT NULL UNIQUE CHECK (length(uuid) = 16),
    -- Of the image.
    number INTEGER NOT NULL,
    image BLOB NOT NULL,
    x INTEGER NOT NULL,
    y INTEGER NOT NULL,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    confidence REAL NOT NULL,
    -- 128 little-endian float32, or none.
    descriptor BLOB NOT NULL,
    person BLOB,
    by_hand INTEGER NOT NULL,
    -- 0 nothing, 1 whose it is, 2 that it is to be ignored.
    decision INTEGER NOT NULL CHECK (decision BETWEEN 0 AND 2),
    visible INTEGER NOT NULL,
    request_id TEXT
) STRICT;
CREATE INDEX faces_by_image ON faces (number, uuid);
CREATE INDEX faces_by_person ON faces (person, visible, uuid) WHERE person IS NOT NULL;
CREATE INDEX faces_of_nobody ON faces (uuid) WHERE person IS NULL AND visible = 1 AND decision < 2;
CREATE INDEX faces_to_place ON faces (uuid)
    WHERE person IS NULL AND visible = 1 AND decision = 0 AND descriptor <> x'';
CREATE UNIQUE INDEX faces_by_request ON faces (request_id) WHERE request_id IS NOT NULL;

-- The last sequence that was given.
INSERT INTO marks (name, value) VALUES ('people', 0);
