-- What is told the logins begins with this: passwords reach no log, no statistics and no audit, and the first error ends it.
\getenv logins POSTGRES_LOGINS
\set ON_ERROR_STOP on
\set VERBOSITY terse
SET log_statement = none;
SET log_min_duration_statement = -1;
SET log_min_error_statement = panic;
SET pg_stat_statements.track = none;
SET track_activities = off;
SET pgaudit.log = none;
