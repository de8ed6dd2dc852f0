-- The schema version 2, which stores had before Alembic. Version 1 lacks the last two columns of impressions.
CREATE TABLE queries (
	query_id VARCHAR NOT NULL,
	"index" VARCHAR NOT NULL,
	text TEXT NOT NULL,
	filter TEXT,
	received_ms BIGINT NOT NULL,
	PRIMARY KEY (query_id)
);
CREATE TABLE rankings (
	query_id VARCHAR NOT NULL,
	round INTEGER NOT NULL,
	pipeline VARCHAR NOT NULL,
	version VARCHAR NOT NULL,
	generation VARCHAR NOT NULL,
	score_kind VARCHAR NOT NULL,
	documents BLOB NOT NULL,
	scores BLOB NOT NULL,
	stages BLOB,
	feedback TEXT NOT NULL,
	ranked_ms BIGINT NOT NULL,
	PRIMARY KEY (query_id, round),
	FOREIGN KEY(query_id) REFERENCES queries (query_id)
);
CREATE TABLE events (
	event_id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	query_id VARCHAR NOT NULL,
	document VARCHAR NOT NULL,
	kind VARCHAR NOT NULL,
	relevance FLOAT,
	weight FLOAT,
	position INTEGER,
	dwell_ms BIGINT,
	idempotency_key VARCHAR,
	received_ms BIGINT NOT NULL,
	FOREIGN KEY(query_id) REFERENCES queries (query_id),
	UNIQUE (idempotency_key)
);
CREATE INDEX ix_events_query_id ON events (query_id);
CREATE TABLE impressions (
	impression_id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	query_id VARCHAR NOT NULL,
	round INTEGER NOT NULL,
	"offset" INTEGER NOT NULL,
	documents TEXT NOT NULL,
	session_id VARCHAR,
	user_id VARCHAR,
	propensities TEXT,
	shown_ms BIGINT NOT NULL,
	arm VARCHAR,
	credits TEXT,
	FOREIGN KEY(query_id, round) REFERENCES rankings (query_id, round),
	FOREIGN KEY(query_id) REFERENCES queries (query_id)
);
CREATE INDEX ix_impressions_query_id ON impressions (query_id);
