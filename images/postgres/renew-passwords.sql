-- Gives the servers' own roles, which all have the same name for ever, the passwords that the environment says.
\getenv logins POSTGRES_LOGINS
\set ON_ERROR_STOP on
\set VERBOSITY terse
SET log_statement = none;
SET log_min_duration_statement = -1;
SET log_min_error_statement = panic;
SET pg_stat_statements.track = none;
SET track_activities = off;
SET pgaudit.log = none;
SELECT format('ALTER ROLE %I PASSWORD %L', key, value) FROM json_each_text(:'logins') \gexec
