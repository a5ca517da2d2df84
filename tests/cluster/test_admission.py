"""Whoever applies what a preview would refuse is told by the cluster which rule it breaks, and what is there goes on."""

import subprocess
from typing import Any

import pytest
import yaml

from tests.cluster.conftest import Platform
from tests.render import committed

_ENTERS = {"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["create"]}
_ROLE: dict[str, Any] = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "Role",
    "metadata": {"name": "of-a-test", "namespace": "data"},
    "rules": [_ENTERS],
}


def refusal(platform: Platform, manifest: dict[str, Any]) -> str:
    """Return why the cluster does not take an object."""
    with pytest.raises(subprocess.CalledProcessError) as refused:
        platform.node.kubectl("create", "--dry-run=server", "--filename=-", stdin=yaml.safe_dump(manifest))
    return str(refused.value.stderr)


def test_each_policy_of_the_program_is_in_force(platform: Platform) -> None:
    made = {each["metadata"]["name"] for each in platform.node.get("validatingadmissionpolicies")["items"]}
    bound = platform.node.get("validatingadmissionpolicybindings")["items"]
    wanted = {
        each["metadata"]["name"] for each in committed("dev").manifests if each["kind"] == "ValidatingAdmissionPolicy"
    }
    assert wanted <= made
    assert wanted <= {each["spec"]["policyName"] for each in bound if each["spec"]["validationActions"] == ["Deny"]}
    assert len(wanted) > 20


def test_a_role_that_enters_pods_is_refused_by_name(platform: Platform) -> None:
    assert "platform-role-enters-no-pods" in refusal(platform, _ROLE)
    elsewhere = {**_ROLE, "metadata": {**_ROLE["metadata"], "namespace": "default"}}
    platform.node.kubectl("create", "--dry-run=server", "--filename=-", stdin=yaml.safe_dump(elsewhere))


def test_a_password_in_a_configmap_is_refused_and_not_repeated(platform: Platform) -> None:
    config = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "of-a-test", "namespace": "app"},
        "data": {"DATABASE_PASSWORD": "written-in-plain-8d1"},
    }
    said = refusal(platform, config)
    assert "platform-secret-not-written-in-texts" in said
    assert "written-in-plain-8d1" not in said
