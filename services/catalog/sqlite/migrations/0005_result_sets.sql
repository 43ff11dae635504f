-- Sets of results that clients name; a row is unique by its two paths, which are data and never opened.

CREATE TABLE result_sets (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('json', 'sql')),
    name TEXT NOT NULL,
    -- Of the next row; orders rows by their first insertion.
    next_sequence INTEGER NOT NULL DEFAULT 1,
    row_count INTEGER NOT NULL DEFAULT 0,
    UNIQUE (kind, name)
) STRICT;

CREATE TABLE result_rows (
    set_id INTEGER NOT NULL,
    scene_path TEXT NOT NULL,
    image_path TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    description TEXT NOT NULL,
    objects TEXT NOT NULL,
    time_us INTEGER NOT NULL,
    PRIMARY KEY (set_id, scene_path, image_path)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX result_rows_by_sequence ON result_rows (set_id, sequence);

-- Not fired where an insert became an update.
CREATE TRIGGER result_row_stored AFTER INSERT ON result_rows BEGIN
    UPDATE result_sets SET row_count = row_count + 1 WHERE id = NEW.set_id;
END;
