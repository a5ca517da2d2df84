"""What the statements about logins leave behind in the server besides the logins: no password, in no view and in no log."""

from collections.abc import Generator

import pytest

from tests.servers.workload_servers import PostgresServer, postgres

_LOGINS = {"migration": "canary-one", "application_2": "canary-two", "reader_2": "canary-three"}
_OWN = {"replication": "canary-four", "rewind": "canary-five"}


@pytest.fixture(scope="module")
def server() -> Generator[PostgresServer]:
    with postgres() as server:
        server.audited()
        server.admin("ALTER SYSTEM SET pgaudit.log = 'ddl, role'")
        server.admin("SELECT pg_reload_conf()")
        server.admin("CREATE EXTENSION pg_stat_statements")
        for role in _OWN:
            server.admin(f"CREATE ROLE {role} LOGIN")
        yield server


@pytest.mark.parametrize(
    ("name", "logins"), [("renew-passwords", _OWN), ("logins", _LOGINS), ("retire-logins", _LOGINS)]
)
def test_no_password_is_in_the_statistics_or_in_the_log(
    server: PostgresServer, name: str, logins: dict[str, str]
) -> None:
    server.admin("SELECT pg_stat_statements_reset()")
    done = server.statements(name, logins)
    assert done.returncode == 0, done.stderr
    assert "canary" not in done.stdout + done.stderr
    assert server.admin("SELECT query FROM pg_stat_statements WHERE query ~ 'canary'") == []
    assert server.admin("SELECT count(*) > 0 FROM pg_stat_statements") == [(True,)]  # it does count
    log = (server.data.parent / f"{server.data.name}.log").read_text()
    assert "canary" not in log
