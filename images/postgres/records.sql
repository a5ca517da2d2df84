-- What the platform notes of its backups and restores, and the rows that every restore is checked by.
CREATE SCHEMA IF NOT EXISTS platform;
CREATE TABLE IF NOT EXISTS platform.backups (
    label text PRIMARY KEY,
    kind text NOT NULL,
    started timestamptz NOT NULL,
    ended timestamptz NOT NULL
);
CREATE TABLE IF NOT EXISTS platform.restores (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    started timestamptz NOT NULL,
    ended timestamptz NOT NULL DEFAULT clock_timestamp(),
    backup text,
    target timestamptz,
    outcome text NOT NULL,
    recovery_point_seconds double precision,
    recovery_time_seconds double precision
);
COMMENT ON COLUMN platform.restores.outcome IS 'verified, or what was wrong';
CREATE TABLE IF NOT EXISTS platform.sentinels (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    written_at timestamptz NOT NULL,
    checksum text NOT NULL
);
-- One at a time: who holds the lock knows that what is written later has a later time.
CREATE OR REPLACE FUNCTION platform.lock_sentinels() RETURNS void LANGUAGE sql
    AS $$ SELECT pg_advisory_xact_lock(hashtext('platform.sentinels')) $$;
CREATE OR REPLACE FUNCTION platform.add_sentinel() RETURNS void LANGUAGE sql AS $$
    SELECT platform.lock_sentinels();
    INSERT INTO platform.sentinels (written_at, checksum)
        SELECT written_at, md5(written_at::text || random()) FROM clock_timestamp() AS written_at;
$$;
GRANT USAGE ON SCHEMA platform TO backups, monitoring;
GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA platform TO backups;
GRANT SELECT ON platform.backups, platform.restores TO monitoring;
