"""What an account's rights come to: each way to the cluster is found, in its shortest form, and what is none is not."""

from collections.abc import Sequence
from random import Random

import pytest

from policies.permissions import Subject
from policies.rule import Manifest
from policies.takeover import CLUSTER, Takeover
from tests.policies.fixtures import compliant
from tests.policies.random_roles import ACCOUNTS, binding, stack

API, OPERATOR = Subject("ServiceAccount", "api", "app"), Subject("ServiceAccount", "operator", "app")
RBAC = "rbac.authorization.k8s.io"

# verbs, group, resources, and names where there are any: of a role of api's in its namespace, beside who has the cluster.
TO_THE_OPERATOR = [
    ("create", "", "pods", ""),
    ("create", "", "pods", "a-name-is-no-limit"),
    ("update", "apps", "statefulsets", "web"),
    ("patch", "batch", "cronjobs", ""),
    ("create", "monitoring.coreos.com", "prometheuses", ""),
    ("get", "", "pods/exec", ""),
    ("create", "", "pods/attach", "operator-7f9c-x2x"),
    ("patch", "", "pods/ephemeralcontainers", ""),
    ("patch", "", "pods", "operator"),
    ("create", "", "serviceaccounts/token", "operator"),
    ("impersonate", "", "serviceaccounts", "operator"),
    ("create get", "", "secrets", ""),
]
NOWHERE = [
    ("get", "", "pods/exec", "web-0"),
    ("create", "", "pods/portforward", ""),
    ("patch", "", "pods", "operators-0"),
    ("create", "", "serviceaccounts/token", "web"),
    ("impersonate", "", "serviceaccounts", "web"),
    ("create", "", "secrets", ""),
    ("get", "", "secrets", ""),
    ("CREATE", "", "pods", ""),
    ("create", "", "pods/*", ""),
    ("create", "", "deployments", ""),
    ("bind", RBAC, "clusterroles", ""),
    ("create", RBAC, "rolebindings", ""),
    ("create bind", RBAC, "rolebindings roles", "api"),
    ("update", "", "namespaces", ""),
    ("get", "", "nodes/proxy", ""),
    ("create", "", "persistentvolumes", ""),
]
# The same, everywhere, with nobody beside it.
EVERYWHERE = [
    ("get", "", "nodes/proxy", ""),
    ("create", "", "pods", ""),
    ("create", "", "pods/exec", ""),
    ("list", "", "secrets", ""),
    ("create", "", "serviceaccounts/token", ""),
    ("create", "", "persistentvolumes", ""),
    ("update", "admissionregistration.k8s.io", "validatingadmissionpolicies", "mine"),
    ("patch", "apiextensions.k8s.io", "customresourcedefinitions", ""),
    ("update", "certificates.k8s.io", "certificatesigningrequests/approval", ""),
    ("escalate", RBAC, "clusterroles", ""),
    ("impersonate", "", "users", ""),
    ("impersonate", "", "groups", "system:masters"),
    ("create bind", RBAC, "clusterrolebindings clusterroles", ""),
    ("update", "apps", "deployments", "any"),
]
HARMLESS = [
    ("get list watch", "", "pods nodes configmaps events", ""),
    ("get", "", "secrets", "mine"),
    ("impersonate", "", "users", "someone"),
    ("update", "", "namespaces", ""),
    ("bind", RBAC, "clusterroles", ""),
    ("create update patch delete", "", "configmaps services", ""),
]


def rules(verbs: str, group: str, resources: str, name: str) -> list[Manifest]:
    rule: Manifest = {"verbs": verbs.split(), "apiGroups": [group], "resources": resources.split()}
    return [{**rule, "resourceNames": [name]} if name else rule]


def program(api: list[Manifest], operator: list[Manifest] | None = None) -> list[Manifest]:
    """Return the objects of the fixtures' program, with other rules for the two accounts."""
    manifests = compliant("escalation")
    for manifest in manifests:
        if manifest["kind"] == "Role":
            manifest["rules"] = api
        if manifest["kind"] == "ClusterRole" and operator is not None:
            manifest["rules"] = operator
    return manifests


def way(manifests: Sequence[Manifest], start: Subject) -> list[Subject]:
    return [step.then for step in Takeover(manifests).chain(start)]


READS_ALL = rules("list", "", "secrets", "")


@pytest.mark.parametrize("right", TO_THE_OPERATOR)
def test_a_right_that_leads_to_another_account_leads_to_all_that_it_may(right: tuple[str, str, str, str]) -> None:
    assert way(program(rules(*right), READS_ALL), API) == [OPERATOR, CLUSTER]


@pytest.mark.parametrize("right", NOWHERE)
def test_a_right_that_leads_to_no_other_account_is_what_it_says(right: tuple[str, str, str, str]) -> None:
    assert way(program(rules(*right), READS_ALL), API) == []


@pytest.mark.parametrize("right", EVERYWHERE)
def test_some_rights_in_all_namespaces_are_the_cluster(right: tuple[str, str, str, str]) -> None:
    assert way(program([], rules(*right)), OPERATOR) == [CLUSTER]


@pytest.mark.parametrize("right", HARMLESS)
def test_others_are_not(right: tuple[str, str, str, str]) -> None:
    assert way(program([], rules(*right)), OPERATOR) == []


def test_a_pod_is_kept_from_the_node_by_pod_security_only() -> None:
    manifests = program(rules("create", "", "pods", ""))
    assert way(manifests, API) == []
    for labels in (
        {},
        {"pod-security.kubernetes.io/enforce": "privileged"},
        {"pod-security.kubernetes.io/warn": "restricted"},
    ):
        (namespace,) = [each for each in manifests if each["kind"] == "Namespace"]
        namespace["metadata"]["labels"] = labels
        assert way(manifests, API) == [CLUSTER]
    assert way(manifests[1:], API) == [CLUSTER], "a namespace that is not of the stack may enforce nothing"


def test_who_may_change_the_namespace_lifts_it() -> None:
    both = rules("create", "", "pods", "") + rules("patch", "", "namespaces", "app")
    assert way(program(both), API) == [CLUSTER]
    assert way(program(rules("*", "*", "*", "")), API) == [CLUSTER]


def test_one_right_can_lead_through_several_accounts() -> None:
    manifests = program(rules("create", "", "serviceaccounts/token", "middle"), READS_ALL)
    for manifest in [each for each in manifests if each["metadata"]["name"] == "api"]:
        other = {**manifest, "metadata": {"namespace": "app", "name": "middle"}}
        if manifest["kind"] == "Role":
            manifests.append({**other, "rules": rules("create", "", "pods/exec", "")})
        else:
            account = {"kind": "ServiceAccount", "name": "middle", "namespace": "app"}
            manifests.append({**other, "roleRef": {"kind": "Role", "name": "middle"}, "subjects": [account]})
    assert way(manifests, API) == [Subject("ServiceAccount", "middle", "app"), OPERATOR, CLUSTER]


def test_a_role_can_be_bound_to_oneself() -> None:
    binds = rules("bind create", RBAC, "clusterroles rolebindings", "")
    assert way(program(binds), API) == [Subject("master of", "app"), CLUSTER]
    assert way(program(rules("escalate", RBAC, "roles", "")), API) == [Subject("master of", "app"), CLUSTER]
    named = rules("create", RBAC, "rolebindings", "")
    for name, then in (("cluster-admin", [Subject("ClusterRole", "cluster-admin", "app"), CLUSTER]), ("view", [])):
        assert way(program(named + rules("bind", RBAC, "clusterroles", name)), API) == then


def test_whoever_is_in_a_group_has_its_rights() -> None:
    for kind, name in (
        ("Group", "system:serviceaccounts"),
        ("Group", "system:serviceaccounts:app"),
        ("Group", "system:authenticated"),
        ("User", "system:serviceaccount:app:api"),
    ):
        manifests = program([], READS_ALL)
        (given,) = [each for each in manifests if each["kind"] == "ClusterRoleBinding"]
        given["subjects"] = [{"kind": kind, "name": name}]
        assert way(manifests, API) == [CLUSTER], name


@pytest.mark.parametrize(
    "selector",
    [
        {},
        {"matchLabels": {"kubernetes.io/bootstrapping": "rbac-defaults"}},
        {"matchExpressions": [{"key": "mine", "operator": "DoesNotExist"}]},
    ],
)
def test_a_role_that_gathers_others_can_have_the_administrators(selector: Manifest) -> None:
    manifests = program([], [])
    (role,) = [each for each in manifests if each["kind"] == "ClusterRole"]
    role["aggregationRule"] = {"clusterRoleSelectors": [selector]}
    assert way(manifests, OPERATOR) == [CLUSTER]


def test_the_clusters_own_namespace_is_the_cluster() -> None:
    manifests = program([], rules("create", "", "pods/exec", ""))
    (given,) = [each for each in manifests if each["kind"] == "ClusterRoleBinding"]
    given["kind"], given["metadata"] = "RoleBinding", {"name": "operator", "namespace": "kube-system"}
    assert way(manifests, OPERATOR) == [CLUSTER]
    given["metadata"]["namespace"] = "data"
    assert way(manifests, OPERATOR) == []


def test_the_way_says_what_each_right_is_and_which_role_gives_it() -> None:
    first, second = Takeover(program(rules("get", "", "pods/exec", ""), READS_ALL)).chain(API)
    assert first == ("get pods/exec in app", "Role app/api", OPERATOR)
    assert second == ("list secrets", "ClusterRole operator", CLUSTER)


@pytest.mark.parametrize("seed", range(4))
def test_a_right_more_closes_no_way(seed: int) -> None:
    random, closed, opened = Random(seed), 0, 0
    for _ in range(25):
        manifests = stack(random)
        more = [*manifests, binding(random, "more")]
        before, after = Takeover(manifests), Takeover(more)
        for account in ACCOUNTS:
            was, now = bool(before.chain(account)), bool(after.chain(account))
            assert now or not was
            closed, opened = closed + (not now), opened + (now and not was)
    assert closed
    assert opened
