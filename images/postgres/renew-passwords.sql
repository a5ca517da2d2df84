-- Gives the servers' own roles, which all have the same name for ever, the passwords that the environment says.
\ir secretly.sql
SELECT format('ALTER ROLE %I PASSWORD %L', key, value) FROM json_each_text(:'logins') \gexec
