"""Jobs, what they found, the totals, the sites that are scraped again, and the scheduler's lease."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = "jobs, pages, extracts, counted, totals, sites, leases"

UPGRADE = """
CREATE TABLE jobs (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    url         text NOT NULL CHECK (length(url) <= 2048),
    stage       text NOT NULL DEFAULT 'scraping' CHECK (stage IN ('scraping', 'processing', 'analytics')),
    state       text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'running', 'done', 'failed', 'dead')),
    attempts    integer NOT NULL DEFAULT 0,
    error       text,
    request_id  text NOT NULL,
    message_id  text,
    created_at  timestamptz NOT NULL DEFAULT now(),
    seen_at     timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz
);
COMMENT ON COLUMN jobs.message_id IS 'the queue''s message for this stage; null until it was put there';
COMMENT ON COLUMN jobs.seen_at IS 'when the queue was last known to hold the message';
CREATE INDEX jobs_newest ON jobs (created_at DESC, id);
CREATE INDEX jobs_unfinished ON jobs (seen_at) WHERE state IN ('queued', 'running');
CREATE INDEX jobs_finished ON jobs (finished_at) WHERE finished_at IS NOT NULL;

CREATE TABLE pages (
    job_id       uuid PRIMARY KEY REFERENCES jobs ON DELETE CASCADE,
    url          text NOT NULL,
    status       integer NOT NULL,
    content_type text NOT NULL,
    body         bytea NOT NULL
);

CREATE TABLE extracts (
    job_id uuid PRIMARY KEY REFERENCES jobs ON DELETE CASCADE,
    title  text NOT NULL,
    links  text[] NOT NULL,
    words  integer NOT NULL
);

CREATE TABLE counted (job_id uuid PRIMARY KEY REFERENCES jobs ON DELETE CASCADE);
COMMENT ON TABLE counted IS 'a job is added to the totals at most once, however often its message is delivered';

CREATE TABLE totals (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    pages    bigint NOT NULL DEFAULT 0,
    words    bigint NOT NULL DEFAULT 0,
    links    bigint NOT NULL DEFAULT 0,
    bytes    bigint NOT NULL DEFAULT 0
);
INSERT INTO totals DEFAULT VALUES;

CREATE TABLE sites (
    url            text PRIMARY KEY,
    next_scrape_at timestamptz NOT NULL
);
CREATE INDEX sites_due ON sites (next_scrape_at);

CREATE TABLE leases (
    name       text PRIMARY KEY,
    holder     text NOT NULL,
    expires_at timestamptz NOT NULL
);
"""


def upgrade() -> None:
    """Create the tables and let the application read and write them, nothing more."""
    op.execute(UPGRADE)
    op.execute("GRANT USAGE ON SCHEMA public TO application")
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {TABLES} TO application")
    # For the tables of later migrations: a forgotten grant would show in production only.
    op.execute(
        "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO application"
    )
    op.execute("ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE ON SEQUENCES TO application")


def downgrade() -> None:
    """Drop the tables with all they hold."""
    op.execute(f"DROP TABLE {TABLES}")
