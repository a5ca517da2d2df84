"""Which pods there are, how many, what selects them and what they refer to: what several rules count on."""

from fractions import Fraction
from typing import Any

import pytest

from policies.quantities import quantity, share
from policies.references import Reference, claims, offered, references
from policies.rule import Manifest, Unreadable, UnreadableError
from policies.workloads import lasts, least, selects, serving, workloads

LABELS = {"app": "api", "tier": "api"}
CONTAINERS = {"containers": [{"name": "one"}], "initContainers": [{"name": "before"}, {"restartPolicy": "Always"}]}


def workload(kind: str = "Deployment", **spec: Any) -> Manifest:
    template: Manifest = {"metadata": {"labels": LABELS}, "spec": CONTAINERS}
    return {"kind": kind, "metadata": {"namespace": "app", "name": "api"}, "spec": {"template": template, **spec}}


@pytest.mark.parametrize(
    ("selector", "selected"),
    [
        (None, False),
        ({}, True),
        ({"matchLabels": {}}, True),
        ({"matchLabels": {"app": "api"}}, True),
        ({"matchLabels": {"app": "api", "zone": "a"}}, False),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["api", "web"]}]}, True),
        ({"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}, False),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["api"]}]}, False),
        ({"matchExpressions": [{"key": "zone", "operator": "NotIn", "values": ["a"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "zone", "operator": "Exists"}]}, False),
        ({"matchExpressions": [{"key": "zone", "operator": "DoesNotExist"}]}, True),
        ({"matchLabels": {"app": "api"}, "matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}, False),
    ],
)
def test_a_selector_means_what_kubernetes_means_by_it(selector: Any, *, selected: bool) -> None:
    assert selects(selector, LABELS) is selected


def test_a_selector_that_cannot_be_read_selects_neither_all_nor_none() -> None:
    hidden = Unreadable("spec.selector", "not known yet")
    for selector in (hidden, {"matchLabels": hidden}, {"matchLabels": {"app": hidden}}, {"matchExpressions": [hidden]}):
        with pytest.raises(UnreadableError):
            selects(selector, LABELS)


def test_a_workload_is_found_in_any_kind_with_the_labels_of_its_pods() -> None:
    cron = {"kind": "CronJob", "spec": {"jobTemplate": {"spec": {"template": workload()["spec"]["template"]}}}}
    pod = {"kind": "Pod", "metadata": {"labels": LABELS}, "spec": CONTAINERS}
    found = list(workloads([workload(), cron, pod, {"kind": "ConfigMap"}]))
    assert [each.labels for each in found] == [LABELS] * 3
    assert [(each.kind, each.namespace, each.name) for each in found][:2] == [
        ("Deployment", "app", "api"),
        ("CronJob", "default", ""),
    ]


def test_containers_that_stay_are_those_of_the_pod_and_the_steps_that_do_not_end() -> None:
    paths = [container.path.removeprefix("spec.template.spec.") for container in serving(workload())]
    assert paths == ["initContainers[1]", "containers[0]"]


def test_what_lasts_is_told_from_what_ends() -> None:
    pod: Manifest = {"kind": "Pod", "spec": {"restartPolicy": "Never"}}
    assert [lasts(each) for each in (workload(), {"kind": "Pod"}, pod, workload("Job"))] == [True, True, False, False]


def test_the_fewest_pods_are_the_autoscalers_where_there_is_one() -> None:
    def scaler(namespace: str = "app", **spec: Any) -> Manifest:
        target = {"kind": "Deployment", "name": "api"}
        return {
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"namespace": namespace},
            "spec": {"scaleTargetRef": target, **spec},
        }

    assert least([], workload()) == 1
    assert least([], workload(replicas=3)) == 3
    assert least([scaler(minReplicas=2)], workload(replicas=3)) == 2
    assert least([scaler()], workload(replicas=3)) == 1
    assert least([scaler("data", minReplicas=2)], workload(replicas=3)) == 3


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("500m", Fraction(1, 2)),
        ("64Mi", 64 * 2**20),
        ("1.5Gi", 3 * 2**29),
        ("2", 2),
        (2, 2),
        ("1k", 1000),
        ("1e3", 1000),
    ],
)
def test_a_quantity_is_a_number(text: Any, number: Any) -> None:
    assert quantity(text) == number


@pytest.mark.parametrize("text", ["", "much", "1 Gi", "Gi", "1/2"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a quantity"):
        quantity(text)


def test_a_share_is_rounded_as_asked() -> None:
    assert [share("50%", 3, up=True), share("50%", 3, up=False), share("2", 3, up=True), share(0, 3, up=True)] == [
        2,
        1,
        2,
        0,
    ]


def test_a_pod_refers_to_what_it_cannot_start_without() -> None:
    pod: Manifest = {
        "initContainers": [
            {"envFrom": [{"secretRef": {"name": "a"}}, {"configMapRef": {"name": "b", "optional": True}}]}
        ],
        "containers": [
            {"env": [{"name": "C", "valueFrom": {"secretKeyRef": {"name": "c", "key": "k"}}}, {"name": "D"}]}
        ],
        "volumes": [
            {"configMap": {"name": "e"}},
            {
                "projected": {
                    "sources": [{"secret": {"name": "f", "items": [{"key": "k"}]}}, {"serviceAccountToken": {}}]
                }
            },
        ],
        "imagePullSecrets": [{"name": "g"}],
    }
    assert sorted(references({"kind": "Pod", "spec": pod}), key=lambda each: each.name) == [
        Reference("spec.initContainers[0].envFrom[0]", "Secret", "a"),
        Reference("spec.containers[0].env[0]", "Secret", "c", ("k",)),
        Reference("spec.volumes[0].configMap", "ConfigMap", "e"),
        Reference("spec.volumes[1].projected.secret", "Secret", "f", ("k",)),
        Reference("spec.imagePullSecrets[0]", "Secret", "g"),
    ]


def test_a_namespace_offers_its_own_and_what_is_made_for_it() -> None:
    def made(kind: str, namespace: str, name: str, **rest: Any) -> Manifest:
        return {"kind": kind, "metadata": {"namespace": namespace, "name": name}, **rest}

    hidden = Unreadable("stringData", "a secret")
    found = offered(
        [
            made("ConfigMap", "app", "words", data={"a": "b"}, binaryData={"c": "d"}),
            made("ConfigMap", "data", "others", data={}),
            made("Secret", "app", "passwords", stringData=hidden),
            made("Certificate", "app", "api", spec={"secretName": "api-tls"}),
        ],
        "app",
    )
    assert found == {
        ("ConfigMap", "kube-root-ca.crt"): {"ca.crt"},
        ("ConfigMap", "words"): {"a", "c"},
        ("Secret", "passwords"): None,
        ("Secret", "api-tls"): {"tls.crt", "tls.key", "ca.crt"},
    }


def test_a_stateful_set_claims_a_volume_for_each_template_and_pod() -> None:
    templates = [{"metadata": {"name": name}, "spec": {"storageClassName": name}} for name in ("data", "log")]
    store = workload("StatefulSet", replicas=2, volumeClaimTemplates=templates)
    files = {"kind": "PersistentVolumeClaim", "metadata": {"namespace": "app", "name": "files"}}
    assert [(namespace, name) for namespace, name, _spec in claims([store, files])] == [
        ("app", "data-api-0"),
        ("app", "data-api-1"),
        ("app", "log-api-0"),
        ("app", "log-api-1"),
        ("app", "files"),
    ]
