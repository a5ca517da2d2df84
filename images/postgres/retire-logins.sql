-- Ends every login of the platform's roles that the environment does not name, and the sessions of those who still use one.
\ir secretly.sql
CREATE TEMPORARY TABLE logins AS
    SELECT key AS login, regexp_replace(key, '_[0-9]+$', '') AS role FROM json_each_text(:'logins');
-- No password from here on: who is retired is audited.
RESET pgaudit.log;
CREATE TEMPORARY TABLE retired AS
    SELECT rolname AS login, role FROM pg_roles JOIN logins ON rolname = role OR rolname ~ ('^' || role || '_[0-9]+$')
    WHERE rolname NOT IN (SELECT login FROM logins) AND (rolcanlogin OR rolname <> role);
SELECT format('ALTER ROLE %I NOLOGIN', login) FROM retired \gexec
SELECT format('retired: %s', login), count(pg_terminate_backend(pid)) AS sessions
    FROM retired LEFT JOIN pg_stat_activity ON usename = login GROUP BY login;
-- The roles that have the rights stay, without a way in.
SELECT format('DROP ROLE %I', login) FROM retired WHERE login <> role \gexec
