"""A cluster is told of the custom resources before the stack, and what others have told it stays."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.command import output
from local.engine import Cluster
from local.problem import Problem
from tests.conftest import Tools


def test_a_cluster_knows_what_it_was_told_and_can_be_told_again(
    cluster: Cluster, tools: Tools, definitions: Path, tmp_path: Path
) -> None:
    cluster.define(definitions, tools.binaries)
    cluster.define(definitions, tools.binaries)
    issuer = tmp_path / "issuer.json"
    kubectl = [tools.binaries / "kubectl", "create", "--dry-run=server", f"--filename={issuer}"]
    wrong: dict[str, Any] = {
        "apiVersion": "cert-manager.io/v1",
        "kind": "ClusterIssuer",
        "metadata": {"name": "wrong"},
        "spec": {"ca": {}},
    }
    issuer.write_text(json.dumps(wrong))
    with pytest.raises(Problem, match=r"spec\.ca\.secretName: Required value"):
        output(kubectl, env=cluster.environment)
    issuer.write_text(json.dumps({**wrong, "spec": {"selfSigned": {}}}))
    assert "created" in output(kubectl, env=cluster.environment)


def test_what_somebody_else_defined_otherwise_is_left_alone(
    cluster: Cluster, tools: Tools, definitions: Path, tmp_path: Path
) -> None:
    theirs = yaml.safe_load((definitions / "cert-manager.io_issuers.yaml").read_text())
    theirs["spec"]["group"] = "certificates.test"
    theirs["metadata"] = {"name": "issuers.certificates.test"}
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "issuers.yaml").write_text(yaml.safe_dump(theirs))
    theirs["spec"]["names"]["shortNames"] = ["theirs"]
    other = tmp_path / "theirs.yaml"
    other.write_text(yaml.safe_dump(theirs))
    apply = [tools.binaries / "kubectl", "apply", "--server-side", "--field-manager=helm", f"--filename={other}"]
    output(apply, env=cluster.environment)
    theirs["spec"]["names"]["shortNames"] = ["ours"]
    (mine / "issuers.yaml").write_text(yaml.safe_dump(theirs))
    with pytest.raises(Problem, match=r'conflict with "helm": \.spec\.names\.shortNames'):
        cluster.define(mine, tools.binaries)
