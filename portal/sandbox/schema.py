"""The sandbox's tables. Objects are JSON documents; the columns beside them are for searching."""

from __future__ import annotations

SCHEMA = """
CREATE TABLE IF NOT EXISTS accounts (
  id TEXT PRIMARY KEY,
  platform TEXT NOT NULL,
  secret_key TEXT UNIQUE,
  body TEXT NOT NULL,
  created INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS objects (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL,
  account TEXT NOT NULL,
  kind TEXT NOT NULL,
  customer TEXT,
  subscription TEXT,
  parent TEXT,
  status TEXT,
  lookup TEXT,
  clock TEXT,
  due_at INTEGER,
  created INTEGER NOT NULL,
  body TEXT NOT NULL,
  -- A product's id may be chosen, so that two accounts can have the same one.
  UNIQUE (id, account)
);
CREATE INDEX IF NOT EXISTS objects_list ON objects (account, kind, seq);
CREATE INDEX IF NOT EXISTS objects_customer ON objects (customer, kind) WHERE customer IS NOT NULL;
CREATE INDEX IF NOT EXISTS objects_subscription ON objects (subscription, kind)
  WHERE subscription IS NOT NULL;
CREATE INDEX IF NOT EXISTS objects_parent ON objects (parent, kind) WHERE parent IS NOT NULL;
CREATE UNIQUE INDEX IF NOT EXISTS objects_lookup ON objects (account, kind, lookup)
  WHERE lookup IS NOT NULL;
CREATE INDEX IF NOT EXISTS objects_token ON objects (lookup, kind) WHERE lookup IS NOT NULL;
CREATE INDEX IF NOT EXISTS objects_clock ON objects (clock, kind) WHERE clock IS NOT NULL;
CREATE INDEX IF NOT EXISTS objects_due ON objects (clock, due_at) WHERE due_at IS NOT NULL;

CREATE TABLE IF NOT EXISTS meter_events (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  account TEXT NOT NULL,
  meter TEXT NOT NULL,
  event_name TEXT NOT NULL,
  customer TEXT NOT NULL,
  identifier TEXT NOT NULL,
  value INTEGER NOT NULL,
  timestamp INTEGER NOT NULL,
  received_at INTEGER NOT NULL,
  counts_at INTEGER NOT NULL,
  canceled INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS meter_events_sum ON meter_events (meter, customer, timestamp);
CREATE INDEX IF NOT EXISTS meter_events_pending ON meter_events (counts_at);
CREATE INDEX IF NOT EXISTS meter_events_identifier
  ON meter_events (account, event_name, identifier);

-- Usage that was accepted and will not be counted, until a report has told of it.
CREATE TABLE IF NOT EXISTS meter_errors (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  account TEXT NOT NULL,
  meter TEXT NOT NULL,
  identifier TEXT NOT NULL,
  code TEXT NOT NULL,
  message TEXT NOT NULL,
  due_at INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS meter_errors_due ON meter_errors (due_at);

CREATE TABLE IF NOT EXISTS events (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  account TEXT NOT NULL,
  type TEXT NOT NULL,
  object_id TEXT,
  created INTEGER NOT NULL,
  body TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS events_list ON events (account, seq);
CREATE INDEX IF NOT EXISTS events_object ON events (object_id, type);

CREATE TABLE IF NOT EXISTS deliveries (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  event TEXT NOT NULL,
  endpoint TEXT NOT NULL,
  state TEXT NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0,
  due_at REAL NOT NULL,
  duplicate INTEGER NOT NULL DEFAULT 0,
  http_status INTEGER,
  error TEXT,
  finished_at REAL
);
CREATE INDEX IF NOT EXISTS deliveries_due ON deliveries (state, due_at);
CREATE INDEX IF NOT EXISTS deliveries_event ON deliveries (event);

CREATE TABLE IF NOT EXISTS idempotency (
  account TEXT NOT NULL,
  key TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  status INTEGER NOT NULL,
  body TEXT NOT NULL,
  request TEXT NOT NULL,
  created INTEGER NOT NULL,
  PRIMARY KEY (account, key)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS faults (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  family TEXT NOT NULL,
  times INTEGER NOT NULL,
  remaining INTEGER NOT NULL,
  body TEXT NOT NULL
);

-- What is wrong with the next attempt of a delivery.
CREATE TABLE IF NOT EXISTS delivery_faults (
  delivery TEXT PRIMARY KEY,
  endpoint TEXT NOT NULL,
  kind TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS requests (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  created INTEGER NOT NULL,
  method TEXT NOT NULL,
  path TEXT NOT NULL,
  account TEXT,
  status INTEGER NOT NULL,
  milliseconds INTEGER NOT NULL,
  idempotency_key TEXT,
  params TEXT,
  error TEXT
);
"""

TABLES = (
    "accounts", "objects", "meter_events", "meter_errors", "events", "deliveries", "idempotency",
    "requests", "faults", "delivery_faults",
)  # fmt: skip
