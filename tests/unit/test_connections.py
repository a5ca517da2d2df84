"""One declared connection is exactly one egress rule, one ingress rule, one row, and what the client needs to know."""

import pulumi
import pytest

from components.connections import Endpoint, connect
from components.labels import Identity
from tests.render import STACKS, Manifest, Rendered, committed


def pairs(rendered: Rendered, side: str) -> set[tuple[str, str, int]]:
    """Return (client, server, port) of every rule of one side that names a workload of the platform."""
    found: set[tuple[str, str, int]] = set()
    for manifest in rendered.of("NetworkPolicy").values():
        owner = manifest["spec"]["podSelector"].get("matchLabels")
        for rule in manifest["spec"].get(side, []):
            for peer in rule["to" if side == "egress" else "from"]:
                if not owner or "podSelector" not in peer:
                    continue
                here = f"{manifest['metadata']['namespace']}/{owner['app.kubernetes.io/name']}"
                labels = peer["podSelector"]["matchLabels"]
                where = peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
                there = f"{where}/{labels['app.kubernetes.io/name']}"
                for port in rule["ports"]:
                    client, server = (here, there) if side == "egress" else (there, here)
                    found.add((client, server, port["port"]))
    return found


def rows(rendered: Rendered) -> set[tuple[str, str, int]]:
    return {(row["client"], row["server"], row["port"]) for row in rendered.outputs["connections"]}


@pytest.mark.parametrize("stack", STACKS)
def test_both_sides_and_the_table_agree(stack: str) -> None:
    rendered = committed(stack)
    namespaces = set(rendered.of("Namespace"))
    ours = {
        pair for pair in rows(rendered) if pair[0].split("/")[0] in namespaces and pair[1].split("/")[0] in namespaces
    }
    assert pairs(rendered, "ingress") == ours
    assert {pair for pair in pairs(rendered, "egress") if pair[1].split("/")[0] in namespaces} == ours


def test_the_table_is_the_architecture() -> None:
    rendered = committed("prod")
    assert rows(rendered) == {
        ("data/postgres", "data/postgres", 5432),
        ("data/postgres", "data/postgres", 8008),
        ("data/postgres", "api-server", 6443),
        ("data/postgres-logins", "data/postgres", 5432),
        ("data/pgbouncer", "data/postgres", 5432),
        ("data/postgres-exporter", "data/postgres", 5432),
        ("data/redis", "data/redis", 6379),
        ("data/postgres-snapshots", "api-server", 6443),
        ("data/redis-snapshots", "api-server", 6443),
        ("data/redis-backup", "data/redis", 6379),
        ("data/redis-backup", "data/objects", 7070),
        ("data/redis-restore", "data/redis", 6379),
        ("data/redis-restore", "data/objects", 7070),
        ("data/objects-buckets", "data/objects", 7070),
        ("data/objects-sweep", "data/objects", 7070),
        ("data/postgres", "data/objects", 7070),
        ("data/postgres-backup", "data/objects", 7070),
        ("data/postgres-backup", "data/postgres", 5432),
        ("data/postgres-backup", "data/postgres", 8432),
        ("data/postgres-drill", "data/objects", 7070),
        ("data/postgres-drill", "data/postgres", 5432),
        ("app/migration", "data/postgres", 5432),
        ("app/api", "data/pgbouncer", 6432),
        ("app/api", "data/postgres", 5432),  # reads, from the replicas
        ("app/api", "data/redis", 6379),
        ("app/api", "data/memcached", 11211),
        ("app/worker-scraping", "data/pgbouncer", 6432),
        ("app/worker-scraping", "data/redis", 6379),
        ("app/worker-scraping", "internet", 80),
        ("app/worker-scraping", "internet", 443),
        ("app/worker-processing", "data/pgbouncer", 6432),
        ("app/worker-processing", "data/redis", 6379),
        ("app/worker-analytics", "data/pgbouncer", 6432),
        ("app/worker-analytics", "data/redis", 6379),
        ("app/worker-analytics", "data/memcached", 11211),
        ("app/scheduler", "data/pgbouncer", 6432),
        ("app/scheduler", "data/redis", 6379),
        ("app/frontend", "app/api", 8080),
        ("security/cert-manager", "api-server", 6443),
    }


def test_the_internet_is_no_private_address() -> None:
    policy = committed("prod").of("NetworkPolicy")["app/worker-scraping-to-internet"]
    (rule,) = policy["spec"]["egress"]
    (peer,) = rule["to"]
    assert {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"} <= set(peer["ipBlock"]["except"])


def test_no_other_policy_names_addresses() -> None:
    for stack in STACKS:
        with_blocks = {name for name, m in committed(stack).of("NetworkPolicy").items() if "ipBlock" in str(m["spec"])}
        calls = {"data/postgres-to-api-server", "security/cert-manager-to-api-server"}
        calls |= {f"data/{tier}-snapshots-to-api-server" for tier in ("postgres", "redis")}
        open_to_all = {"app/frontend-from-outside"} if stack == "dev" else set[str]()
        allowed = {"app/worker-scraping-to-internet"} | calls | open_to_all
        assert with_blocks == allowed


def test_a_pod_in_quarantine_is_selected_by_no_policy_that_allows_anything() -> None:
    """Policies add up: the label works because every one of them leaves it out."""
    for stack in STACKS:
        for name, manifest in committed(stack).of("NetworkPolicy").items():
            spec = manifest["spec"]
            left_out = {"key": "quarantine", "operator": "NotIn", "values": ["true"]}
            allows = bool(spec.get("ingress") or spec.get("egress"))
            assert (left_out in spec["podSelector"].get("matchExpressions", [])) == allows, name


def environment(manifest: Manifest) -> dict[str, str]:
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    return {item["name"]: item.get("value", "secret") for item in container["env"]}


def test_a_client_gets_what_it_needs_and_no_other_secret() -> None:
    rendered = committed("prod")
    api = environment(rendered.of("Deployment")["app/api"])
    assert api["POSTGRES_HOST"] == "pgbouncer.data.svc.cluster.local"
    assert api["POSTGRES_REPLICA_HOST"] == "postgres-replicas.data.svc.cluster.local"
    assert api["POSTGRES_USERNAME"] == "application"
    assert api["POSTGRES_PASSWORD"] == api["REDIS_PASSWORD"] == "secret"
    assert "POSTGRES_PASSWORD" not in environment(rendered.of("Deployment")["app/frontend"])
    (migration,) = [job for name, job in rendered.of("Job").items() if name.startswith("app/")]
    assert environment(migration)["POSTGRES_USERNAME"] == "migration"
    assert "REDIS_PASSWORD" not in environment(migration)


def test_two_peers_with_the_same_key_are_refused() -> None:
    server = Identity(name="a", namespace="x", tier="t", placement="x")
    twice = [Endpoint(of=server, ports=[1], env={"A_HOST": "1"}), Endpoint(of=server, ports=[2], env={"A_HOST": "2"})]
    with pytest.raises(ValueError, match="api: two connections both define A_HOST"):
        connect(Identity(name="api", namespace="x", tier="t", placement="x"), twice, pulumi.ResourceOptions())
