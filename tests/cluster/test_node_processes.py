"""The node keeps itself running: what is killed comes back, `up` changes nothing, `status` says what is wrong."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from local import images
from local import node as one_node
from local.node import supervisor
from local.node.layout import CONTAINERD_SOCKET, RUN, STATE
from local.node.procfs import Record, command_line
from local.node.report import Report, Statement
from tests.cluster.conftest import Node, eventually
from tests.conftest import parent

NAMES = (
    "etcd",
    "containerd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "kube-router",
    "csi-hostpath",
    "csi-provisioner",
    "csi-resizer",
    "csi-snapshotter",
    "snapshot-controller",
    "guard",
)
# With everything there is nothing to build, load or start; the definitions of custom resources are applied all the same.
AGAIN_SECONDS = 8.0


def reports() -> dict[str, Report]:
    return {report.name: report for report in Statement.read(RUN).reports}


def pids() -> dict[str, int]:
    keeper = supervisor.running(RUN)
    return {"supervisor": keeper.pid if keeper else 0, **{name: report.pid for name, report in reports().items()}}


def healthy() -> bool:
    return one_node.status(lambda _line: None) == []


def up(node: Node) -> None:
    built = images.build(node.binaries, lambda _line: None)
    one_node.up(node.binaries, built, lambda _line: None)


def test_the_table_of_processes_is_the_one_tested_here(node: Node) -> None:
    del node
    assert set(reports()) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_killed_process_returns_and_the_api_serves(node: Node, name: str) -> None:
    old = reports()[name].pid
    os.kill(old, signal.SIGKILL)

    def returned() -> bool:
        now = reports()[name]
        return now.state == "ready" and now.alive and now.pid != old

    eventually(f"{name} runs again", returned)
    eventually("the API serves", lambda: node.kubectl("get", "--raw=/readyz") == "ok")
    eventually("nothing is wrong", healthy)


def test_a_killed_supervisor_returns_and_adopts_everything(node: Node) -> None:
    before = pids()
    os.kill(before["supervisor"], signal.SIGKILL)
    eventually("another supervisor", lambda: pids()["supervisor"] not in (0, before["supervisor"]))
    eventually("nothing is wrong", healthy)
    assert {**pids(), "supervisor": 0} == {**before, "supervisor": 0}
    assert node.kubectl("get", "--raw=/readyz") == "ok"


def test_up_repairs_what_has_no_one_left_to_repair_it(node: Node) -> None:
    """The supervisor, its guard and a process, all killed at once: nobody is left but the next `up`."""
    before = pids()
    # Halted first: the supervisor would start the guard again between one kill and the next.
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for name in ("supervisor", "guard", "kube-scheduler"):
            os.kill(before[name], number)
    eventually("they are dead", lambda: supervisor.running(RUN) is None)
    assert "supervisor: it is dead: `make up` starts it again" in one_node.status(lambda _line: None)
    up(node)
    after = pids()
    replaced = {name for name, pid in before.items() if after[name] != pid}
    assert replaced == {"supervisor", "guard", "kube-scheduler"}
    assert healthy()


def test_up_again_changes_nothing_and_takes_no_time(node: Node) -> None:
    def versions() -> list[str]:
        kinds = "deployments,services,configmaps,secrets,serviceaccounts"
        objects = node.get(kinds, "--namespace=kube-system")["items"]
        objects += node.get("clusterroles,clusterrolebindings,storageclasses,csidrivers")["items"]
        return sorted(
            f"{item['metadata']['uid']} {item['metadata']['generation']}"
            for item in objects
            if "generation" in item["metadata"]
        ) + sorted(item["metadata"]["uid"] for item in objects)

    def files() -> dict[str, int]:
        kept = [STATE / "kubeconfig", STATE / "before.json", *(STATE / "config").rglob("*"), *(STATE / "pki").iterdir()]
        return {str(file): file.stat().st_mtime_ns for file in kept if file.is_file() and file.name != "openssl.cnf"}

    up(node)
    before = pids(), versions(), files()
    started = time.monotonic()
    up(node)
    assert time.monotonic() - started < AGAIN_SECONDS
    assert (pids(), versions(), files()) == before


def test_status_names_a_process_that_hangs(node: Node) -> None:
    pid = reports()["kube-scheduler"].pid
    os.kill(pid, signal.SIGSTOP)
    try:
        found = eventually("it is noticed", lambda: one_node.status(lambda _line: None), seconds=30)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert [problem for problem in found if problem.startswith("kube-scheduler: ")] == found
    assert "10259" in found[0]
    eventually("it is well again", healthy)
    assert node.kubectl("get", "--raw=/readyz") == "ok"


def test_status_has_a_line_for_every_process(node: Node) -> None:
    del node
    lines: list[str] = []
    assert one_node.status(lines.append) == []
    assert [line.split()[0] for line in lines] == ["supervisor", *NAMES]


def test_a_killed_shim_costs_its_pod_a_restart_only(node: Node, image: str) -> None:
    """The shim is the process between containerd and a container; without it, the container is started anew."""
    spec = {
        "terminationGracePeriodSeconds": 0,
        "containers": [{"name": "it", "image": image, "command": ["sleep", "600"]}],
    }
    metadata = {"name": "shim", "namespace": "default", "labels": {"app.kubernetes.io/name": "shim"}}
    node.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    try:
        (pod,) = eventually("it runs", lambda: node.pods("default", "shim"))
        shim = parent(node.process(pod))
        assert "containerd-shim" in command_line(shim)
        os.kill(shim, signal.SIGKILL)

        def restarted() -> bool:
            (now,) = node.pods("default", "shim")
            status = now["status"]["containerStatuses"][0]
            return status["restartCount"] > 0 and status["ready"]

        eventually("it runs again", restarted, seconds=120)
    finally:
        node.kubectl("delete", "pod", "shim", "--namespace=default", "--now", "--wait=true")


def test_the_node_is_in_none_of_its_callers_control_groups(node: Node) -> None:
    """The caller's limits do not count for it, and it does not end with the caller."""
    del node
    keeper = supervisor.running(RUN)
    assert keeper
    groups = Path(f"/proc/{keeper.pid}/cgroup").read_text().splitlines()
    assert {line.split(":", 2)[2] for line in groups} == {"/"}


def test_only_the_nodes_own_containerd_is_used(node: Node) -> None:
    del node
    record = Record.read(RUN / "processes" / "containerd.json")
    assert record
    assert str(STATE) in command_line(record.pid)
    listed = subprocess.run(
        ["ctr", "--address", str(CONTAINERD_SOCKET), "--namespace", "k8s.io", "containers", "list", "-q"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert listed.stdout.split()
