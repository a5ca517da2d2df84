-- Brings the database, its roles and their passwords to what the environment says; doing it again changes nothing.
-- Passwords come out of the environment inside psql: they are on no command line, in no file, and in no log.
\getenv database POSTGRES_DATABASE
\getenv superuser_password POSTGRES_SUPERUSER_PASSWORD
\getenv migration_password POSTGRES_MIGRATION_PASSWORD
\getenv application_password POSTGRES_APPLICATION_PASSWORD
\set ON_ERROR_STOP on
SET log_statement = none;
SET log_min_duration_statement = -1;
SET log_min_error_statement = panic;
SET client_min_messages = warning;

ALTER ROLE postgres PASSWORD :'superuser_password';

SELECT format('CREATE ROLE %I', role) FROM unnest(ARRAY['migration', 'application']) AS role
    WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) \gexec
ALTER ROLE migration LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION PASSWORD :'migration_password';
ALTER ROLE application LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION PASSWORD :'application_password';

SELECT format('CREATE DATABASE %I OWNER migration', :'database')
    WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'database') \gexec
ALTER DATABASE :"database" OWNER TO migration;
REVOKE ALL ON DATABASE :"database" FROM PUBLIC;
REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC;
GRANT CONNECT ON DATABASE :"database" TO application;

-- In PostgreSQL 15 the schema `public` belongs to the owner of the database, which is `migration`.
\connect :"database"
GRANT USAGE ON SCHEMA public TO application;
ALTER DEFAULT PRIVILEGES FOR ROLE migration IN SCHEMA public
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO application;
ALTER DEFAULT PRIVILEGES FOR ROLE migration IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO application;
