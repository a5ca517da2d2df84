"""What issues certificates has the least rights that do, and an authority that lasts."""

import re
from typing import Any

import pytest

from components import versions
from local import toolchain
from tests.render import STACKS, Manifest, committed

OURS = ("certificates", "certificaterequests", "issuers", "clusterissuers")


def rights(stack: str) -> dict[str, set[str]]:
    """Return the verbs that the cluster-wide rules allow on each resource."""
    (role,) = committed(stack).of("ClusterRole").values()
    allowed: dict[str, set[str]] = {}
    for rule in role["rules"]:
        for resource in rule["resources"]:
            allowed.setdefault("/".join([*filter(None, rule["apiGroups"]), resource]), set()).update(rule["verbs"])
    return allowed


@pytest.mark.parametrize("stack", STACKS)
def test_the_controller_may_do_what_issuing_takes_and_no_more(stack: str) -> None:
    allowed = rights(stack)
    assert "*" not in str(allowed)
    reads = {"get", "list", "watch"}
    for resource in ("certificates", "issuers", "clusterissuers"):
        assert allowed[f"cert-manager.io/{resource}"] == reads, "what people ask for is theirs to change"
    assert allowed["cert-manager.io/certificaterequests"] == reads | {"create", "update", "delete"}
    assert allowed["secrets"] == reads | {"create", "patch", "delete"}
    parts = {f"{kind}/status" for kind in OURS} | {"certificates/finalizers", "certificaterequests/finalizers"}
    known = {f"cert-manager.io/{name}" for name in (*OURS, *parts)}
    assert set(allowed) == known | {"secrets", "events", "acme.cert-manager.io/challenges"}


def test_its_rights_are_given_to_its_own_account_and_to_nobody_else() -> None:
    account = {"kind": "ServiceAccount", "name": "cert-manager", "namespace": "security"}
    (everywhere,) = committed("prod").of("ClusterRoleBinding").values()
    assert everywhere["subjects"] == [account]
    assert everywhere["roleRef"]["name"] in committed("prod").of("ClusterRole")
    assert committed("prod").of("RoleBinding")["security/cert-manager"]["subjects"] == [account]
    # Creation cannot be limited to a name; all else is.
    rules = committed("prod").of("Role")["security/cert-manager"]["rules"]
    assert [rule.get("resourceNames") for rule in rules if rule["verbs"] != ["create"]] == [["cert-manager-controller"]]


def test_the_names_of_what_is_in_no_namespace_say_whose_it_is() -> None:
    kinds = ("ClusterRole", "ClusterRoleBinding", "ClusterIssuer")
    names = [name for kind in kinds for name in committed("prod").of(kind)]
    assert len(names) == 4
    assert [name for name in names if not re.match(r"platform(-|$)", name)] == []


def test_the_authority_is_awaited_and_keeps_its_key() -> None:
    custom: list[Manifest] = [m for m in committed("prod").manifests if m["apiVersion"] == "cert-manager.io/v1"]
    assert len(custom) > 3
    for manifest in custom:
        assert manifest["metadata"]["annotations"]["pulumi.com/waitFor"] == "condition=Ready"
    root: dict[str, Any] = committed("prod").of("Certificate")["security/platform-root"]["spec"]
    assert root["isCA"]
    assert root["privateKey"]["rotationPolicy"] == "Never"
    issuers = committed("prod").of("ClusterIssuer")
    assert issuers["platform"]["spec"] == {"ca": {"secretName": root["secretName"]}}
    assert root["issuerRef"]["name"] == "platform-root"


def test_the_secrets_of_cluster_issuers_are_read_where_the_authority_is() -> None:
    (container,) = committed("prod").of("Deployment")["security/cert-manager"]["spec"]["template"]["spec"]["containers"]
    assert "--cluster-resource-namespace=security" in container["args"]


def test_the_controller_is_built_from_the_version_that_the_image_is_named_after() -> None:
    text = (toolchain.SOURCES / "cert-manager" / "go.mod").read_text()
    (version,) = re.findall(r"^\tgithub.com/cert-manager/cert-manager (v\S+)$", text, re.MULTILINE)
    assert versions.CERT_MANAGER.rpartition(":")[2] == version
