"""The snapshots' account, at a real API server with the real definitions: it may do what the Job does, and nothing else."""

import base64
import json
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from images.snapshots.snapshots import Api, Task, take
from local.engine import Cluster
from tests.conftest import Tools
from tests.render import committed

NAMESPACE, NAME, CLAIM = "data", "redis-snapshots", "data-redis-0"


class Server:
    """The API server, as its administrator sees it."""

    def __init__(self, cluster: Cluster, binaries: Path) -> None:
        assert cluster.kubeconfig
        self.kubeconfig = cluster.kubeconfig
        self._kubectl = [str(binaries / "kubectl"), "--kubeconfig", str(cluster.kubeconfig)]

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        done = subprocess.run([*self._kubectl, *arguments], input=stdin, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def apply(self, *manifests: dict[str, Any]) -> None:
        listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests})
        self.kubectl("apply", "--filename=-", stdin=listed)

    def status(self, kind: str, name: str, **status: Any) -> None:
        """Say of an object what its controller would, which does not run here."""
        patch = json.dumps({"status": status})
        where = [f"--namespace={NAMESPACE}", "--subresource=status", "--type=merge"]
        self.kubectl("patch", kind, name, *where, "--patch", patch)


@pytest.fixture
def server(cluster: Cluster, tools: Tools) -> Server:
    """Put the storage of the stack `dev` on the cluster, and one claim that has a volume."""
    made = Server(cluster, tools.binaries)
    definitions = [f"--filename={file}" for file in (tools.binaries / "crds").glob("snapshot.storage.k8s.io_*.yaml")]
    made.kubectl("apply", "--server-side", *definitions)
    made.kubectl("wait", "--for=condition=Established", "--timeout=30s", *definitions)
    rendered = committed("dev")
    account = [
        rendered.of(kind)[f"{NAMESPACE}/{NAME}"] for kind in ("ServiceAccount", "Role", "RoleBinding", "CronJob")
    ]
    classes = [*rendered.of("StorageClass").values(), *rendered.of("VolumeSnapshotClass").values()]
    (claim,) = rendered.of("StatefulSet")[f"{NAMESPACE}/redis"]["spec"]["volumeClaimTemplates"]
    metadata = {**claim["metadata"], "name": CLAIM, "namespace": NAMESPACE}
    made.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}, *classes, *account)
    made.apply({**claim, "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata})
    made.status("persistentvolumeclaim", CLAIM, phase="Bound")
    return made


def test_the_account_may_do_what_the_job_does_and_nothing_else(server: Server, tmp_path: Path) -> None:
    there = yaml.safe_load(server.kubeconfig.read_text())["clusters"][0]["cluster"]
    authority = base64.b64decode(there["certificate-authority-data"]).decode()
    token = tmp_path / "token"
    token.write_text(server.kubectl("create", "token", NAME, f"--namespace={NAMESPACE}"))
    trusted = ssl.create_default_context(cadata=authority)
    api = Api(url=there["server"], namespace=NAMESPACE, token=token, trusted=trusted)

    def run(name: str) -> list[str]:
        return take(api, Task(workload="redis", run=name, snapshot_class="platform", keep=1, seconds=0))

    assert run("early") == [f"{CLAIM}-early: not ready after 0 s; is the cluster's snapshot controller running?"]
    server.status("volumesnapshot", f"{CLAIM}-early", readyToUse=True)
    assert run("early") == []
    assert run("late") == [f"{CLAIM}-late: not ready after 0 s; is the cluster's snapshot controller running?"]
    listed = ["get", "volumesnapshots", f"--namespace={NAMESPACE}", "--output=name"]
    assert len(server.kubectl(*listed).split()) == 2, "the last that is ready stays"
    who = [f"--as=system:serviceaccount:{NAMESPACE}:{NAME}", f"--namespace={NAMESPACE}"]
    rights = server.kubectl("auth", "can-i", "--list", "--no-headers", *who)
    may = {
        line.split()[0]: line.rpartition("[")[2].strip("]") for line in rights.splitlines() if "selfsubject" not in line
    }
    assert {what: verbs for what, verbs in may.items() if not what.startswith("[")} == {
        "persistentvolumeclaims": "list",
        "volumesnapshots.snapshot.storage.k8s.io": "create list delete",
    }
