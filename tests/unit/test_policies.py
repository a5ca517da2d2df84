"""Each rule fires on what it forbids, not on what it allows, and not on any stack of ours."""

import copy
from typing import Any

import pytest

from policies.rules import RULES, Rule
from policies.rules.rule import UNKNOWN
from tests.render import STACKS, Manifest, committed

BY_NAME = {rule.name: rule for rule in RULES}


def compliant() -> Manifest:
    return copy.deepcopy(committed("prod").of("Deployment")["app/api"])


def breaches(name: str, container: dict[str, Any] | None = None, security: dict[str, Any] | None = None) -> list[str]:
    """Return what a rule says of a compliant Deployment with parts of its container or its security context replaced."""
    manifest = compliant()
    (target,) = manifest["spec"]["template"]["spec"]["containers"]
    target |= container or {}
    target["securityContext"] |= security or {}
    return list(BY_NAME[name].check(manifest))


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_our_stacks_pass(rule: Rule, stack: str) -> None:
    assert [message for manifest in committed(stack).manifests for message in rule.check(manifest)] == []


@pytest.mark.parametrize(
    ("name", "container", "security"),
    [
        ("pod-non-root", {}, {"runAsNonRoot": False}),
        ("pod-non-root", {}, {"runAsUser": 0}),
        ("pod-non-root", {}, {"runAsNonRoot": UNKNOWN}),
        ("pod-confined", {}, {"privileged": True}),
        ("pod-confined", {}, {"allowPrivilegeEscalation": True}),
        ("pod-confined", {}, {"allowPrivilegeEscalation": UNKNOWN}),
        ("pod-confined", {}, {"capabilities": {"drop": ["NET_RAW"]}}),
        ("pod-confined", {}, {"capabilities": {"drop": ["ALL"], "add": ["SYS_ADMIN"]}}),
        ("pod-confined", {}, {"seccompProfile": {"type": "Unconfined"}}),
        ("pod-read-only", {}, {"readOnlyRootFilesystem": False}),
        ("pod-read-only", {}, {"readOnlyRootFilesystem": UNKNOWN}),
        ("pod-bounded-memory", {"resources": {}}, {}),
        ("pod-bounded-memory", {"resources": {"limits": {"cpu": "1"}}}, {}),
        ("pod-pinned-image", {"image": "nginx"}, {}),
        ("pod-pinned-image", {"image": "registry.example:5000/nginx"}, {}),
        ("pod-pinned-image", {"image": "nginx:latest"}, {}),
        ("pod-pinned-image", {"image": UNKNOWN}, {}),
    ],
)
def test_a_breach_is_named_with_its_path_and_its_fix(
    name: str, container: dict[str, Any], security: dict[str, Any]
) -> None:
    (found,) = breaches(name, container, security)
    assert found.startswith("spec.template.spec.containers[0] ")
    assert "; set " in found or "; give " in found


@pytest.mark.parametrize(
    ("name", "container", "security"),
    [
        ("pod-non-root", {}, {"runAsUser": 1}),
        ("pod-confined", {}, {"seccompProfile": {"type": "Localhost", "localhostProfile": "a.json"}}),
        ("pod-pinned-image", {"image": "nginx@sha256:" + "0" * 64}, {}),
    ],
)
def test_a_near_miss_passes(name: str, container: dict[str, Any], security: dict[str, Any]) -> None:
    assert breaches(name, container, security) == []


@pytest.mark.parametrize("kind", ["initContainers", "ephemeralContainers"])
def test_no_sort_of_container_escapes(kind: str) -> None:
    manifest = compliant()
    manifest["spec"]["template"]["spec"][kind] = [
        {"name": "x", "image": "x:1", "securityContext": {"privileged": True}}
    ]
    assert any(kind in message for message in BY_NAME["pod-confined"].check(manifest))


def test_a_cron_job_is_looked_into() -> None:
    template = compliant()["spec"]["template"]
    template["spec"]["containers"][0]["image"] = "x:latest"
    manifest = {"kind": "CronJob", "spec": {"jobTemplate": {"spec": {"template": template}}}}
    assert len(list(BY_NAME["pod-pinned-image"].check(manifest))) == 1
