"""The rights that the model adds up are those that the API server would: compared with one that asks binding by binding."""

from collections.abc import Iterator, Sequence
from random import Random

import pytest

from policies.builtin_roles import BUILT_IN
from policies.permissions import Permissions, Subject, users
from policies.powers import Power, held
from policies.rule import Manifest
from tests.policies.random_roles import ACCOUNTS, GROUPS, NAMES, NAMESPACES, RESOURCES, VERBS, stack

USING: list[tuple[Manifest, list[str]]] = [
    ({"kind": "Pod", "spec": {}}, ["default"]),
    ({"kind": "Deployment", "spec": {"template": {"spec": {"serviceAccountName": "a"}}}}, ["a"]),
    ({"kind": "Deployment", "spec": {"template": {"spec": {"serviceAccount": "a"}}}}, ["a"]),
    ({"kind": "Prometheus", "spec": {"serviceAccountName": "a"}}, ["a"]),
    ({"kind": "Engine", "spec": {"parts": [{"podSpec": {"serviceAccountName": "a", "containers": [{}]}}]}}, ["a"]),
    ({"kind": "CustomResourceDefinition", "spec": {"serviceAccountName": "a"}}, []),
    ({"kind": "ConfigMap", "data": {"a": "b"}}, []),
]


def allowed(manifests: Sequence[Manifest], asker: Subject, asked: tuple[str, str, str, str | None, str]) -> bool:
    """Answer one request as the API server does: each binding, each of its subjects, each rule of its role."""
    return any(_gives(manifests, each, asker, asked) for each in manifests if "roleRef" in each)


def _gives(
    manifests: Sequence[Manifest], given: Manifest, asker: Subject, asked: tuple[str, str, str, str | None, str]
) -> bool:
    verb, group, resource, namespace, name = asked
    within = given["metadata"].get("namespace")
    if within is not None and within != namespace:
        return False
    if not any(_is(each, asker, within) for each in given["subjects"]):
        return False
    found = [
        each
        for each in manifests
        if each["kind"] == given["roleRef"]["kind"]
        and each["metadata"]["name"] == given["roleRef"]["name"]
        and (each["kind"] == "ClusterRole" or (within is not None and each["metadata"]["namespace"] == within))
    ]
    todo, seen = found, list[Manifest]()
    while todo:
        current = todo.pop()
        if not any(current is each for each in seen):
            seen.append(current)
            for selector in current.get("aggregationRule", {}).get("clusterRoleSelectors", []):
                todo += [each for each in manifests if each["kind"] == "ClusterRole" and _matches(selector, each)]
    for current in seen:
        for each in current["rules"]:
            if "resources" not in each:
                continue
            resources: list[str] = each["resources"]
            right = "*" in each["verbs"] or verb in each["verbs"]
            right = right and ("*" in each["apiGroups"] or group in each["apiGroups"])
            right = right and (
                "*" in resources
                or resource in resources
                or ("/" in resource and "*/" + resource.split("/")[1] in resources)
            )
            if right and ("resourceNames" not in each or name in each["resourceNames"]):
                return True
    return False


def _is(given: Manifest, asker: Subject, within: str | None) -> bool:
    if given["kind"] == "ServiceAccount":
        return given["name"] == asker.name and given.get("namespace", within) == asker.namespace
    if given["kind"] == "User":
        return given["name"] == f"system:serviceaccount:{asker.namespace}:{asker.name}"
    of_all = ("system:serviceaccounts", "system:authenticated")
    return given["name"] in (*of_all, f"system:serviceaccounts:{asker.namespace}")


def _matches(selector: Manifest, role_: Manifest) -> bool:
    labels = role_["metadata"].get("labels", {})
    if not selector.get("matchLabels", {}).items() <= labels.items():
        return False
    for each in selector.get("matchExpressions", []):
        value, values = labels.get(each["key"]), each.get("values")
        met = {
            "In": value is not None and values is not None and value in values,
            "NotIn": value is None or values is None or value not in values,
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }
        if not met[each["operator"]]:
            return False
    return True


def requests() -> Iterator[tuple[str, str, str, str | None]]:
    for verb in VERBS:
        for group in GROUPS:
            for resource in RESOURCES:
                for namespace in (*NAMESPACES, None):
                    yield verb, group, resource, namespace


@pytest.mark.parametrize("seed", range(4))
def test_the_model_allows_what_the_api_server_does(seed: int) -> None:
    random, answers = Random(seed), set[tuple[bool, bool]]()
    for _ in range(80):
        manifests = stack(random)
        permissions, asker = Permissions(manifests), random.choice(ACCOUNTS)
        for verb, group, resource, namespace in random.sample(list(requests()), 24):
            power = [Power((verb,), group, (resource,))]
            grants = [grant for grant in permissions.grants(asker) if grant.holds_in(namespace)]
            some_name = any(True for grant in grants for _ in held(grant.rule, power))
            any_name = any(True for grant in grants for _ in held(grant.rule, power, unless_named=True))
            there = [*BUILT_IN, *manifests]
            said = [allowed(there, asker, (verb, group, resource, namespace, name)) for name in NAMES]
            assert some_name == any(said), manifests
            # A creation has no name when it is asked for, so none limits it as far as a rule is concerned.
            assert any_name == (any(said) if verb == "create" and "/" not in resource else all(said)), manifests
            answers.add((some_name, any_name))
    assert answers == {(False, False), (True, False), (True, True)}, "sets that show nothing"


@pytest.mark.parametrize(
    ("name", "verb", "resource"),
    [
        ("cluster-admin", "delete", "nodes"),
        ("admin", "create", "rolebindings"),
        ("admin", "list", "secrets"),
        ("admin", "get", "configmaps"),
        ("edit", "create", "pods/exec"),
        ("edit", "get", "pods/log"),
        ("view", "list", "pods"),
    ],
)
def test_the_api_servers_own_roles_hold_each_other(name: str, verb: str, resource: str) -> None:
    group = "rbac.authorization.k8s.io" if resource == "rolebindings" else ""
    assert any(holds(Permissions([]), name, verb, group, resource))


@pytest.mark.parametrize(
    ("name", "verb", "resource"), [("view", "list", "secrets"), ("edit", "create", "rolebindings")]
)
def test_they_hold_no_more(name: str, verb: str, resource: str) -> None:
    assert not any(holds(Permissions([]), name, verb, "", resource))


def test_a_label_adds_to_them() -> None:
    added = {
        "kind": "ClusterRole",
        "metadata": {"name": "more", "labels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"}},
        "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["list"]}],
    }
    for name in ("view", "edit", "admin"):
        assert any(holds(Permissions([added]), name, "list", "", "secrets")), name


def holds(permissions: Permissions, name: str, verb: str, group: str, resource: str) -> Iterator[object]:
    for each in permissions.rules(Subject("ClusterRole", name)):
        yield from held(each, [Power((verb,), group, (resource,))])


def test_another_apis_kinds_of_the_name_give_nothing() -> None:
    theirs = {"apiVersion": "iam.example/v1", "kind": "RoleBinding", "metadata": {"name": "a"}, "roleRef": {}}
    assert Permissions([theirs]).bindings == []


@pytest.mark.parametrize(("manifest", "names"), USING)
def test_the_accounts_that_an_object_uses(manifest: Manifest, names: list[str]) -> None:
    assert sorted(user.name for user in users({**manifest, "metadata": {"namespace": "app"}})) == names
