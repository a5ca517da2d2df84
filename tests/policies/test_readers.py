"""Who reads which Secret, and who verifies which server."""

from typing import Any

import pytest

from policies.clients import Server, names, servers
from policies.secrets import readers

Manifest = dict[str, Any]


def pods(name: str, account: str | None, **pod: Any) -> Manifest:
    spec = {"containers": list[Any](), "serviceAccountName": account, **pod}
    return {"kind": "Deployment", "metadata": {"namespace": "a", "name": name}, "spec": {"template": {"spec": spec}}}


def mounted(name: str, *keys: str) -> list[Manifest]:
    return [{"secret": {"secretName": name, "items": [{"key": key} for key in keys]}}]


def test_the_account_reads_whatever_way_its_pods_do() -> None:
    env = [{"valueFrom": {"secretKeyRef": {"name": "two"}}}]
    container = {"env": env, "envFrom": [{"secretRef": {"name": "three"}}]}
    projected = [{"projected": {"sources": [{"secret": {"name": "four"}}]}}]
    manifest = pods("x", "who", volumes=[*mounted("one"), *projected], initContainers=[container])
    assert readers([manifest]) == {("a", name): {"ServiceAccount a/who"} for name in ("one", "two", "three", "four")}


def test_who_sees_certificates_only_reads_nothing() -> None:
    assert readers([pods("x", "who", volumes=mounted("tls", "ca.crt", "tls.crt"))]) == {}
    assert readers([pods("x", "who", volumes=mounted("tls", "ca.crt", "tls.key"))]) == {
        ("a", "tls"): {"ServiceAccount a/who"}
    }


def test_two_without_an_account_are_two() -> None:
    found = readers([pods(name, None, volumes=mounted("one")) for name in ("x", "y")])
    assert len(found["a", "one"]) == 2


@pytest.mark.parametrize(
    ("rule", "read"),
    [
        ({"resources": ["secrets"], "verbs": ["get"], "resourceNames": ["one"]}, {"one"}),
        ({"resources": ["*"], "verbs": ["*"]}, {"one", "tls"}),
        ({"resources": ["secrets"], "verbs": ["list"]}, {"one", "tls"}),
        ({"resources": ["secrets"], "verbs": ["create"]}, set[str]()),
        ({"resources": ["configmaps"], "verbs": ["get"]}, set[str]()),
        ({"apiGroups": ["a.example"], "resources": ["secrets"], "verbs": ["get"]}, set[str]()),
    ],
)
@pytest.mark.parametrize("kind", ["Role", "ClusterRole"])
def test_who_may_ask_for_it_reads_it(rule: Manifest, read: set[str], kind: str) -> None:
    here = {"namespace": "a"} if kind == "Role" else {}
    found = readers(
        [
            {"kind": "Secret", "metadata": {"namespace": "a", "name": "one"}},
            {"kind": "Secret", "metadata": {"namespace": "b", "name": "other"}},
            {"kind": "Certificate", "metadata": {"namespace": "a", "name": "x"}, "spec": {"secretName": "tls"}},
            {"kind": kind, "metadata": {"name": "all", **here}, "rules": [{"apiGroups": [""], **rule}]},
            {
                "kind": "RoleBinding",
                "metadata": {"namespace": "a", "name": "all"},
                "roleRef": {"kind": kind, "name": "all"},
                "subjects": [{"kind": "ServiceAccount", "name": "who"}, {"kind": "User", "name": "jane"}],
            },
        ]
    )
    assert found == {("a", name): {"ServiceAccount a/who", "User jane"} for name in read}


@pytest.mark.parametrize(
    ("variable", "value", "named"),
    [
        ("A", "db.data.svc.cluster.local:5432", True),
        ("A", "x-0.db.data.svc y", True),
        ("A", "postgres://db.data/x", True),
        ("A", "db:5432", True),
        ("A_HOST", "db", True),
        ("ROLE", "db", False),
        ("A_HOST", "other-db.data.svc", False),
        ("A_HOST", "db.database.svc", False),
        ("A_HOST", "db-data", False),
    ],
)
def test_a_variable_names_a_server(variable: str, value: str, named: bool) -> None:
    assert names(Server("data", "db"), variable, value, "data") is named


def test_a_short_name_is_of_its_own_namespace() -> None:
    assert not names(Server("data", "db"), "A_HOST", "db", "app")


@pytest.mark.parametrize("tier", ["database", "queue", "cache", "objects"])
def test_a_server_of_data_is_known_by_its_tier(tier: str) -> None:
    metadata = {"name": "x", "labels": {"app.kubernetes.io/component": tier}}
    assert servers([{"kind": "Service", "metadata": metadata}]) == [Server("default", "x")]
    assert servers([{"kind": "Deployment", "metadata": metadata}]) == []


@pytest.mark.parametrize(("port", "known"), [(3306, True), (6432, True), (9187, False), (80, False)])
def test_a_server_of_data_is_known_by_its_port(port: int, known: bool) -> None:
    service = {"kind": "Service", "metadata": {"name": "x"}, "spec": {"ports": [{"port": 1}, {"port": port}]}}
    assert bool(servers([service])) is known
