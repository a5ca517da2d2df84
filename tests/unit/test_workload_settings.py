"""A process that is given a wrong environment says which variable is wrong, and never its value if that could be a secret."""

import pytest

from workload.app.settings import Memcached, Postgres, Redis, Schedule, Scrape, SettingsError

POSTGRES = {
    "POSTGRES_HOST": "postgres.data.svc.cluster.local",
    "POSTGRES_PORT": "5432",
    "POSTGRES_DATABASE": "jobs",
    "POSTGRES_USERNAME": "application",
    "POSTGRES_PASSWORD": "canary-f00d",
}


def test_the_environment_is_read() -> None:
    settings = Postgres.read({**POSTGRES, "UNRELATED": "ignored", "POSTGRES_REPLICA_HOST": ""})
    assert (settings.postgres_port, settings.postgres_replica_host) == (5432, None)
    assert settings.postgres_password.get_secret_value() == "canary-f00d"


def test_a_secret_is_not_shown() -> None:
    assert "canary" not in repr(Postgres.read(POSTGRES))


@pytest.mark.parametrize("name", sorted(POSTGRES))
def test_a_missing_variable_is_named(name: str) -> None:
    with pytest.raises(SettingsError, match=rf"^{name}: is not set$"):
        Postgres.read({key: value for key, value in POSTGRES.items() if key != name})


def test_an_empty_variable_counts_as_missing() -> None:
    with pytest.raises(SettingsError, match=r"^POSTGRES_PASSWORD: is not set$"):
        Postgres.read({**POSTGRES, "POSTGRES_PASSWORD": ""})


@pytest.mark.parametrize("port", ["tcp://10.96.0.7:5432", "0", "65536", "5432.5"])
def test_a_malformed_port_is_named(port: str) -> None:
    with pytest.raises(SettingsError, match=r"^POSTGRES_PORT: ") as refusal:
        Postgres.read({**POSTGRES, "POSTGRES_PORT": port})
    assert "canary" not in str(refusal.value)


def test_every_wrong_variable_is_named_at_once() -> None:
    with pytest.raises(SettingsError) as refusal:
        Redis.read({"REDIS_PORT": "x"})
    lines = str(refusal.value).splitlines()
    assert [line.partition(":")[0] for line in lines] == ["REDIS_HOST", "REDIS_PORT", "REDIS_PASSWORD"]


def test_memcached_may_be_absent() -> None:
    assert Memcached.read({}).memcached_host is None


def test_allowed_hosts_are_names() -> None:
    allowed = Scrape.read({"SCRAPE_ALLOWED_HOSTS": " Site.test.svc.cluster.local., other ,"}).allowed_hosts
    assert allowed == {"site.test.svc.cluster.local", "other"}
    assert Scrape.read({}).allowed_hosts == frozenset()


@pytest.mark.parametrize("hosts", ["http://site", "site:8080", "*.example.org", "a b"])
def test_allowed_hosts_are_nothing_else(hosts: str) -> None:
    with pytest.raises(SettingsError, match=r"^SCRAPE_ALLOWED_HOSTS: .*write names only"):
        Scrape.read({"SCRAPE_ALLOWED_HOSTS": hosts})


def test_a_duration_is_positive() -> None:
    with pytest.raises(SettingsError, match=r"^SCHEDULER_LEASE_SECONDS: "):
        Schedule.read({"SCHEDULER_LEASE_SECONDS": "0"})
