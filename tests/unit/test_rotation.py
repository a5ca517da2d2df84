"""A raised number replaces a tier's passwords: who learns the new ones, who the old ones, and what ends those."""

import copy
from typing import Any

import pytest

from components import buckets
from components.tier_settings import ObjectStoreSettings
from tests.render import STACKS, Manifest, Rendered, committed, render, stack_config

JOBS = {
    "data/postgres-renewal",
    "data/postgres-retirement",
    "data/redis-admission",
    "data/redis-retirement",
    "data/objects-retirement",
}


def jobs(rendered: Rendered) -> dict[str, Manifest]:
    return {name.removesuffix("-auto"): manifest for name, manifest in rendered.of("Job").items()}


@pytest.fixture(scope="module")
def rotated() -> Rendered:
    config = copy.deepcopy(stack_config("dev"))
    for tier in ("postgres", "redis", "objects"):
        config["platform:settings"][tier]["rotation"] = 3
    return render("dev", config)


def environment(manifest: Manifest) -> dict[str, str]:
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    return {item["name"]: item.get("value", "secret") for item in container["env"]}


@pytest.mark.parametrize("stack", STACKS)
def test_nothing_is_rotated_that_was_not_asked_for(stack: str) -> None:
    assert not JOBS & set(jobs(committed(stack)))


def test_each_step_is_a_job_with_connections_of_its_own(rotated: Rendered) -> None:
    assert set(jobs(rotated)) >= JOBS
    rows = {(row["client"], row["server"]) for row in rotated.outputs["connections"]}
    assert rows >= {(job, job.replace(job.rpartition("-")[2], "").rstrip("-")) for job in JOBS}


def test_clients_come_in_by_the_login_of_the_rotation(rotated: Rendered) -> None:
    assert environment(rotated.of("Deployment")["app/api"])["POSTGRES_USERNAME"] == "application_3"
    assert environment(jobs(rotated)["app/migration"])["POSTGRES_USERNAME"] == "migration_3"


def test_only_who_changes_the_servers_own_passwords_knows_the_previous_ones(rotated: Rendered) -> None:
    knowing = {
        name
        for name, job in jobs(rotated).items()
        if [key for key in environment(job) if key.endswith("PREVIOUS_PASSWORD")]
    }
    assert knowing == {"data/postgres-renewal", "data/redis-admission", "data/redis-retirement"}


def test_new_passwords_do_not_restart_the_queue(rotated: Rendered) -> None:
    before, after = (
        rendered.of("StatefulSet")["data/redis"]["spec"]["template"] for rendered in (committed("dev"), rotated)
    )
    assert before == after


def test_the_key_of_the_backups_is_never_replaced(rotated: Rendered) -> None:
    """What was encrypted with it could not be read any more."""
    assert [urn for urn in rotated.parents if urn.endswith("objects-encryption-password-1")]
    assert not [urn for urn in rotated.parents if urn.endswith("objects-encryption-password-3")]


def is_awaited(rendered: Rendered, by: str, what: str) -> bool:
    """Return whether one resource, as KIND/NAME, is begun only when the other is complete."""
    waiting = [urn for urn in rendered.dependencies if urn.endswith(f":{by.replace('/', '::')}")]
    found: set[str] = set()
    while waiting:
        new = rendered.dependencies[waiting.pop()] - found
        found |= new
        waiting += new
    return any(urn.endswith(f":{what.replace('/', '::')}") for urn in found)


STORE_CLIENTS = (
    "StatefulSet/postgres",
    "CronJob/postgres-backup-full",
    "CronJob/postgres-backup-differential",
    "CronJob/postgres-drill",
    "CronJob/redis-backup",
    "CronJob/redis-restore",
)


def test_who_has_a_key_of_the_store_gets_the_new_one_when_the_store_takes_it_and_before_the_old_one_ends(
    rotated: Rendered,
) -> None:
    holders = {
        f"{kind}/{manifest['metadata']['name']}"
        for kind in ("StatefulSet", "CronJob", "Deployment")
        for manifest in rotated.of(kind).values()
        if "OBJECTS_KEY'" in str(manifest["spec"]) and manifest["metadata"]["name"] != "objects-sweep"
    }
    assert holders == set(STORE_CLIENTS)
    for client in STORE_CLIENTS:
        assert is_awaited(rotated, client, "Job/objects-buckets"), client
        assert is_awaited(rotated, "Job/objects-retirement", client), client
    assert is_awaited(rotated, "Job/objects-buckets", "StatefulSet/objects"), "the gateway has its owner's new key"


def test_the_stores_keys_of_two_rotations_are_valid_in_between() -> None:
    keys = {user: f"key-of-{user}" for user in buckets.ACCOUNTS}
    first, second = (ObjectStoreSettings(rotation=rotation) for rotation in (1, 2))
    alone = buckets.on_gateway(first, keys, "owner", retire=False)
    assert alone["accounts"] == keys
    assert alone["former"] == []
    assert alone == buckets.on_gateway(first, keys, "owner", retire=True)
    both = buckets.on_gateway(second, keys, "owner", retire=False)
    last = buckets.on_gateway(second, keys, "owner", retire=True)
    assert both["accounts"] == last["accounts"] == {f"{user}_2": key for user, key in keys.items()}
    assert both["former"] == [*keys]
    assert last["former"] == []
    assert principals(both) == {("owner",), *((f"{user}_2", user) for user in keys)}
    assert principals(last) == {("owner",), *((f"{user}_2",) for user in keys)}


def principals(document: dict[str, Any]) -> set[tuple[str, ...]]:
    return {tuple(rule["Principal"]["AWS"]) for bucket in document["buckets"] for rule in bucket["policy"]}
