"""Last of all, for it takes the platform away: `destroy` leaves nothing behind, on the node and on a cluster of the user's."""

import os
import subprocess
import urllib.request
from pathlib import Path

import pytest

from local import images
from local.images.recipe import normalised
from local.node import context
from local.node.layout import CONTAINERD_SOCKET
from tests.cluster.conftest import Node, Platform, eventually, local


def test_destroy_leaves_nothing(platform: Platform) -> None:
    platform.engine().destroy()
    assert nothing_left(platform.node)


def test_a_context_is_served_like_the_node_and_the_machine_is_left_alone(
    platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node plays the user's cluster, empty by now: another kubeconfig, another state, images under their plain names."""
    theirs = tmp_path / "config"
    theirs.write_text(platform.node.kubeconfig.read_text())
    before = platform.node.kubeconfig.read_bytes()
    subprocess.run(
        [platform.node.binaries / "kubectl", f"--kubeconfig={theirs}", "config", "rename-context", context, "theirs"],
        check=True,
        capture_output=True,
    )
    for name, ours in images.references().items():
        tag = ["images", "tag", "--force", normalised(ours), normalised(name)]
        subprocess.run(["ctr", "--address", str(CONTAINERD_SOCKET), "--namespace", "k8s.io", *tag], check=True)
    # Who has a cluster has a kubectl; a bare machine has none.
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "kubectl").symlink_to(platform.node.binaries / "kubectl")
    monkeypatch.setenv("PATH", f"{os.environ['PATH']}:{tmp_path / 'bin'}")
    monkeypatch.setenv("KUBECONFIG", str(theirs))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    local("up", "--context", "theirs")
    url = local("url", "--context", "theirs").stdout.strip()
    assert "127.0.0.1" not in url, "a node's own address is what answers on another cluster"
    with urllib.request.urlopen(f"{url}/readyz", timeout=10) as answer:
        assert answer.status == 200
    assert "postgres-0" in local("status", "--context", "theirs").stdout
    local("down", "--context", "theirs")
    assert nothing_left(platform.node)
    assert local("status").returncode == 0, "the node is not the stack's, and stays"
    assert platform.node.kubeconfig.read_bytes() == before


def nothing_left(node: Node) -> bool:
    """Await that neither an object of the platform nor a volume is left."""
    listed = node.kubectl("api-resources", "--verbs=list", "--output=name").split()
    left = node.kubectl(
        "get",
        ",".join(sorted(set(listed) - {"events", "events.events.k8s.io"})),
        "--all-namespaces",
        "--selector=app.kubernetes.io/part-of=platform",
        "--output=name",
        "--ignore-not-found",
    )
    assert left == ""
    namespaces = node.kubectl("get", "namespaces", "--output=name").split()
    assert not {"namespace/app", "namespace/data"} & set(namespaces)
    return eventually("volumes are gone", lambda: node.kubectl("get", "persistentvolumes", "--output=name") == "", 60)
