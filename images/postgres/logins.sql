-- Brings the database, its roles and their logins to what the environment says; doing it again changes nothing.
-- Passwords come out of the environment inside psql: they are on no command line, in no file, and in no log.
\getenv database POSTGRES_DATABASE
\ir secretly.sql
SET client_min_messages = warning;

SELECT format('CREATE ROLE %I', role)
    FROM unnest(ARRAY['migration', 'application', 'reader', 'monitoring', 'pooler', 'backups']) AS role
    WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) \gexec
-- A rotation's logins are members of the roles that have the rights.
CREATE TEMPORARY TABLE logins AS
    SELECT key AS login, regexp_replace(key, '_[0-9]+$', '') AS role, value AS password FROM json_each_text(:'logins');
SELECT format('CREATE ROLE %I IN ROLE %I', login, role) FROM logins
    WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = login) \gexec
SELECT format('ALTER ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION PASSWORD %L', login, password)
    FROM logins \gexec

-- A statement that hangs must not hang its client; a migration may take long, but waits for nobody's lock. What a migration
-- makes belongs to the role, whichever login made it.
SELECT format('ALTER ROLE %I SET %I = %L', login, name, value) FROM logins JOIN (VALUES
    ('application', 'statement_timeout', '10s'),
    ('application', 'lock_timeout', '5s'),
    ('reader', 'statement_timeout', '60s'),
    ('reader', 'default_transaction_read_only', 'on'),
    ('migration', 'lock_timeout', '5s'),
    ('migration', 'role', 'migration'),
    ('monitoring', 'statement_timeout', '10s')
) AS settings (role, name, value) USING (role) \gexec
GRANT pg_monitor TO monitoring;

SELECT format('CREATE DATABASE %I OWNER migration', :'database')
    WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'database') \gexec
ALTER DATABASE :"database" OWNER TO migration;
REVOKE ALL ON DATABASE :"database" FROM PUBLIC;
REVOKE ALL ON DATABASE template1 FROM PUBLIC;
REVOKE ALL ON DATABASE postgres FROM PUBLIC;
GRANT CONNECT ON DATABASE postgres TO rewind, monitoring;
GRANT CONNECT ON DATABASE :"database" TO application, reader, monitoring, pooler, backups;

-- In PostgreSQL 15 the schema `public` belongs to the owner of the database, which is `migration`.
\connect :"database"
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_stat_statements;
CREATE EXTENSION IF NOT EXISTS pgaudit;
GRANT USAGE ON SCHEMA public TO application, reader;
ALTER DEFAULT PRIVILEGES FOR ROLE migration IN SCHEMA public
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO application;
ALTER DEFAULT PRIVILEGES FOR ROLE migration IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO application;
ALTER DEFAULT PRIVILEGES FOR ROLE migration IN SCHEMA public GRANT SELECT ON TABLES TO reader;

-- The pool lets in whom the database would: who may act as `application` or `reader`, by the secret that is no password.
CREATE SCHEMA IF NOT EXISTS platform;
GRANT USAGE ON SCHEMA platform TO pooler;
CREATE OR REPLACE FUNCTION platform.login(who text, OUT name text, OUT secret text) RETURNS SETOF record
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog
    AS $$ SELECT rolname::text, rolpassword FROM pg_authid WHERE rolname = who AND rolcanlogin AND NOT rolsuper
        AND (pg_has_role(rolname, 'application', 'member') OR pg_has_role(rolname, 'reader', 'member')) $$;
REVOKE ALL ON FUNCTION platform.login FROM PUBLIC;
GRANT EXECUTE ON FUNCTION platform.login TO pooler;
\ir records.sql
