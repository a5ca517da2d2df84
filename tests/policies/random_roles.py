"""Random roles and bindings of a small world, in which they often meet."""

from random import Random
from typing import Any

from policies.permissions import Subject
from policies.rule import Manifest

NAMESPACES = ("app", "data")
NAMES = ("one", "two", "unheard-of")
GROUPS = ("", "apps")
VERBS = ("get", "patch", "create")
RESOURCES = ("pods", "pods/exec", "deployments/scale", "secrets")
_LABELS: tuple[Manifest, ...] = ({}, {"a": "1"}, {"a": "2", "b": "1"})
_SELECTORS: tuple[Manifest, ...] = (
    {},
    {"matchLabels": {"a": "1"}},
    {"matchExpressions": [{"key": "a", "operator": "In", "values": ["2", "3"]}]},
    {"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["2"]}]},
    {"matchExpressions": [{"key": "b", "operator": "Exists"}], "matchLabels": {"a": "1"}},
    {"matchExpressions": [{"key": "b", "operator": "DoesNotExist"}]},
)
ACCOUNTS = [Subject("ServiceAccount", name, namespace) for name in ("api", "web") for namespace in NAMESPACES]


def _some(random: Random, *values: Any) -> list[Any]:
    return random.sample(values, random.randint(1, 2))


def _rule(random: Random) -> Manifest:
    if random.random() < 0.1:
        return {"nonResourceURLs": ["*"], "verbs": ["*"]}
    made: Manifest = {
        "verbs": _some(random, *VERBS, "*", "GET"),
        "apiGroups": _some(random, *GROUPS, "*"),
        "resources": _some(random, *RESOURCES, "*", "*/exec", "pods/*"),
    }
    return {**made, "resourceNames": _some(random, *NAMES[:2])} if random.random() < 0.5 else made


def _role(random: Random, kind: str, name: str, namespace: str = "") -> Manifest:
    metadata: Manifest = {"name": name, "labels": random.choice(_LABELS)}
    made = {"kind": kind, "metadata": metadata, "rules": [_rule(random) for _ in range(random.randint(0, 2))]}
    if namespace:
        metadata["namespace"] = namespace
    elif random.random() < 0.3:
        made["aggregationRule"] = {"clusterRoleSelectors": [random.choice(_SELECTORS)]}
    return made


def _subject(random: Random) -> Manifest:
    account = random.choice(ACCOUNTS)
    own: Manifest = {"kind": "ServiceAccount", "name": account.name, "namespace": account.namespace}
    return random.choice(
        [
            own,
            own,
            {"kind": "ServiceAccount", "name": account.name},
            {"kind": "User", "name": f"system:serviceaccount:{account.namespace}:{account.name}"},
            {"kind": "User", "name": account.name},
            {"kind": "Group", "name": f"system:serviceaccounts:{account.namespace}"},
            {"kind": "Group", "name": random.choice(["system:serviceaccounts", "system:authenticated", "people"])},
        ]
    )


def binding(random: Random, name: str) -> Manifest:
    kind = random.choice(["RoleBinding", "RoleBinding", "ClusterRoleBinding"])
    place = {"namespace": random.choice(NAMESPACES)} if kind == "RoleBinding" else {}
    reference = {"kind": random.choice(["Role", "ClusterRole"]), "name": random.choice(["one", "two", "three"])}
    return {"kind": kind, "metadata": {"name": name, **place}, "roleRef": reference, "subjects": [_subject(random)]}


def stack(random: Random) -> list[Manifest]:
    """Return a few roles and bindings, small enough that they often meet."""
    cluster = [_role(random, "ClusterRole", name) for name in ("one", "two")]
    own = [_role(random, "Role", "one", namespace) for namespace in NAMESPACES]
    return [*cluster, *own, *(binding(random, f"{n}") for n in range(random.randint(1, 3)))]
