"""The objects that back the database up and try restores, as every stack renders them."""

import re

import pytest
import yaml

from components.postgres_exporter import QUERIES
from tests.render import STACKS, Manifest, committed, render, stack_config
from tests.unit.test_stacks import pod


def environment(container: Manifest) -> dict[str, str]:
    return {variable["name"]: str(variable.get("value", variable.get("valueFrom"))) for variable in container["env"]}


@pytest.mark.parametrize("stack", STACKS)
def test_backups_and_drills_run_at_their_times_and_never_twice_at_once(stack: str) -> None:
    found = {
        name: job
        for name, job in committed(stack).of("CronJob").items()
        if name.startswith(("data/postgres-b", "data/postgres-d"))
    }
    assert set(found) == {"data/postgres-backup-full", "data/postgres-backup-differential", "data/postgres-drill"}
    for manifest in found.values():
        spec = manifest["spec"]
        assert spec["concurrencyPolicy"] == "Forbid"
        assert spec["jobTemplate"]["spec"]["activeDeadlineSeconds"] <= 24 * 3600
        assert spec["jobTemplate"]["spec"]["ttlSecondsAfterFinished"] > 24 * 3600
    assert len({manifest["spec"]["schedule"] for manifest in found.values()}) == 3


def test_times_and_what_is_kept_are_settings() -> None:
    config = stack_config("dev")
    config["platform:settings"]["postgres"]["backups"] = {"drill": "30 2 * * 1", "keep_full": 9}
    rendered = render("dev", config)
    assert rendered.of("CronJob")["data/postgres-drill"]["spec"]["schedule"] == "30 2 * * 1"
    (container,) = pod(rendered.of("CronJob")["data/postgres-backup-full"])["containers"]
    assert environment(container)["BACKUPS_KEEP_FULL"] == "9"


def test_a_platform_is_never_without_a_backup() -> None:
    (first,) = [job for name, job in committed("dev").of("Job").items() if name.startswith("data/postgres-backup")]
    assert pod(first)["containers"][0]["args"][-1] == "first"


def test_a_drill_has_a_volume_that_goes_with_it_and_a_backup_has_none() -> None:
    drill, backup = (pod(committed("prod").of("CronJob")[f"data/postgres-{name}"]) for name in ("drill", "backup-full"))
    (claim,) = [volume["ephemeral"]["volumeClaimTemplate"] for volume in drill["volumes"] if "ephemeral" in volume]
    assert claim["spec"]["resources"]["requests"]["storage"] == "500Gi"
    assert claim["spec"]["storageClassName"] == "platform-scratch"
    assert "/data" in {mount["mountPath"] for mount in drill["containers"][0]["volumeMounts"]}
    assert not [volume for volume in backup["volumes"] if "ephemeral" in volume]


@pytest.mark.usefixtures("named_accounts")
def test_only_what_takes_backups_knows_the_account_that_may_remove_them() -> None:
    rendered = render("dev", stack_config("dev"))
    accounts = {
        name.removesuffix("-auto"): environment(pod(manifest)["containers"][0]).get("ACCOUNT")
        for kind in ("CronJob", "Job", "StatefulSet")
        for name, manifest in rendered.of(kind).items()
        if name.startswith("data/postgres") and not name.startswith(("data/postgres-logins", "data/postgres-snapshots"))
    }
    assert accounts == {
        "data/postgres": "backups",
        "data/postgres-drill": "backups",
        "data/postgres-backup": "backups-keeper",
        "data/postgres-backup-full": "backups-keeper",
        "data/postgres-backup-differential": "backups-keeper",
    }


def test_the_servers_files_are_read_by_the_backup_alone_and_by_its_name() -> None:
    manifests = committed("prod")
    server = pod(manifests.of("StatefulSet")["data/postgres"])
    first, reader = server["containers"]
    assert (first["name"], reader["name"]) == ("postgres", "reader")
    assert environment(reader) == {"PGBACKREST_TLS_SERVER_AUTH": "postgres-backup=postgres"}
    assert reader["volumeMounts"] == first["volumeMounts"], "it sees the server's socket and its files"
    assert reader["securityContext"] == first["securityContext"]
    assert manifests.of("Certificate")["data/postgres-backup-tls"]["spec"]["commonName"] == "postgres-backup"
    open_to = [
        name
        for name, policy in manifests.of("NetworkPolicy").items()
        for rule in policy["spec"].get("ingress", [])
        if 8432 in {port["port"] for port in rule["ports"]}
    ]
    assert open_to == ["data/postgres-instances-from-postgres-backup"]
    (container,) = pod(manifests.of("CronJob")["data/postgres-backup-full"])["containers"]
    servers = environment(container)["BACKUPS_SERVERS"].split()
    assert servers == [f"postgres-{n}.postgres-instances.data.svc.cluster.local:8432" for n in range(3)]


def test_what_measures_the_database_connects_verified_and_asks_for_what_the_records_have() -> None:
    (container,) = pod(committed("dev").of("Deployment")["data/postgres-exporter"])["containers"]
    told = environment(container)
    host = "postgres-primary.data.svc.cluster.local:5432/platform"
    assert told["DATA_SOURCE_URI"] == f"{host}?sslmode=verify-full&sslrootcert=/etc/trust/ca.crt"
    assert told["DATA_SOURCE_USER"] == "monitoring"
    queries = yaml.safe_load(QUERIES)
    for query in queries.values():
        # A column that is not described is no metric, and one that is described and not there is an error at each scrape.
        described = {name for metric in query["metrics"] for name in metric}
        columns = query["query"].partition(" FROM platform.")[0].removeprefix("SELECT ")
        assert described == {column.split(" AS ")[-1].strip() for column in re.split(r", (?![^(]*\))", columns)}
    (files,) = [volume for name, volume in committed("dev").of("ConfigMap").items() if "postgres-exporter" in name]
    assert files["data"]["queries.yaml"] == QUERIES
