-- Version 1. SCHEMA.md says who writes what. Never edit a migration that was released: add the next one.

CREATE TABLE sessions (
  id             INTEGER PRIMARY KEY,
  session_id     TEXT    NOT NULL UNIQUE,
  client_key     TEXT    NOT NULL UNIQUE,
  name           TEXT    NOT NULL,
  step           INTEGER NOT NULL,
  writers        INTEGER NOT NULL,
  overwrite      INTEGER NOT NULL,
  auto_commit    INTEGER NOT NULL,
  parent         TEXT    NOT NULL,
  created_by     TEXT    NOT NULL,
  lease_us       INTEGER NOT NULL,
  options        BLOB    NOT NULL,
  state          INTEGER NOT NULL,
  created_at     INTEGER NOT NULL,
  expires_at     INTEGER NOT NULL,
  ended_at       INTEGER,
  checkpoint_uid TEXT    NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX sessions_open ON sessions (created_at, id) WHERE ended_at IS NULL;
CREATE INDEX sessions_ended ON sessions (ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE session_metadata (
  session INTEGER NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
  key     TEXT    NOT NULL,
  value   TEXT    NOT NULL,
  PRIMARY KEY (session, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE session_writers (
  session INTEGER NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
  writer  INTEGER NOT NULL,
  PRIMARY KEY (session, writer)
) STRICT, WITHOUT ROWID;

CREATE TABLE session_parts (
  seq          INTEGER PRIMARY KEY AUTOINCREMENT,
  session      INTEGER NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
  writer       INTEGER NOT NULL,
  object_key   TEXT    NOT NULL,
  object_bytes INTEGER NOT NULL,
  record       BLOB    NOT NULL
) STRICT;
CREATE INDEX session_parts_in_order ON session_parts (session, seq);
CREATE INDEX session_parts_by_writer ON session_parts (session, writer, seq);

CREATE TABLE objects (
  id        INTEGER PRIMARY KEY,
  key       TEXT    NOT NULL UNIQUE,
  bytes     INTEGER NOT NULL,
  condemned INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX objects_condemned ON objects (id) WHERE condemned = 1;

CREATE TABLE extents (
  digest       BLOB    NOT NULL PRIMARY KEY,
  object       INTEGER NOT NULL REFERENCES objects (id),
  offset       INTEGER NOT NULL,
  stored_bytes INTEGER NOT NULL,
  raw_bytes    INTEGER NOT NULL,
  encoding     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX extents_by_object ON extents (object);

CREATE TABLE session_objects (
  session INTEGER NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
  object  INTEGER NOT NULL REFERENCES objects (id),
  PRIMARY KEY (session, object)
) STRICT, WITHOUT ROWID;
CREATE INDEX session_objects_by_object ON session_objects (object);

CREATE TABLE checkpoints (
  id              INTEGER PRIMARY KEY,
  uid             TEXT    NOT NULL UNIQUE,
  name            TEXT    NOT NULL,
  step            INTEGER NOT NULL,
  created_at      INTEGER NOT NULL,
  committed_at    INTEGER NOT NULL,
  manifest_key    TEXT    NOT NULL,
  manifest_digest BLOB    NOT NULL,
  manifest_bytes  INTEGER NOT NULL,
  entry_count     INTEGER NOT NULL,
  tensor_count    INTEGER NOT NULL,
  logical_bytes   INTEGER NOT NULL,
  new_bytes       INTEGER NOT NULL,
  parent          TEXT    NOT NULL,
  created_by      TEXT    NOT NULL,
  deleted_at      INTEGER
) STRICT;
CREATE UNIQUE INDEX checkpoints_live ON checkpoints (name, step) WHERE deleted_at IS NULL;
CREATE INDEX checkpoints_deleted ON checkpoints (id) WHERE deleted_at IS NOT NULL;

CREATE TABLE checkpoint_metadata (
  checkpoint INTEGER NOT NULL REFERENCES checkpoints (id) ON DELETE CASCADE,
  key        TEXT    NOT NULL,
  value      TEXT    NOT NULL,
  PRIMARY KEY (checkpoint, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE checkpoint_objects (
  checkpoint INTEGER NOT NULL REFERENCES checkpoints (id) ON DELETE CASCADE,
  object     INTEGER NOT NULL REFERENCES objects (id),
  PRIMARY KEY (checkpoint, object)
) STRICT, WITHOUT ROWID;
CREATE INDEX checkpoint_objects_by_object ON checkpoint_objects (object);

CREATE TABLE tags (
  name       TEXT    NOT NULL,
  tag        TEXT    NOT NULL,
  checkpoint INTEGER NOT NULL REFERENCES checkpoints (id),
  PRIMARY KEY (name, tag)
) STRICT, WITHOUT ROWID;
CREATE INDEX tags_by_checkpoint ON tags (checkpoint);

CREATE TABLE pins (
  checkpoint INTEGER NOT NULL REFERENCES checkpoints (id) ON DELETE CASCADE,
  holder     TEXT    NOT NULL,
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (checkpoint, holder)
) STRICT, WITHOUT ROWID;

CREATE TABLE leases (
  lease      TEXT    NOT NULL PRIMARY KEY,
  holder     TEXT    NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
