"""The real platform on the real node: brought up once, used by every test here, and left as it was found."""

import json
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml

from local import node as one_node
from local import verbs
from local.engine import Engine
from local.node.layout import API_URL, CONTAINERD_SOCKET, PKI
from tests.conftest import Tools
from tests.render import ROOT

STACK = "dev"
T = TypeVar("T")


def local(*arguments: str, expect: int = 0) -> subprocess.CompletedProcess[str]:
    """Run one of the verbs as a person would, and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "local", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == expect, f"{arguments}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def eventually(what: str, probe: Callable[[], T], seconds: float = 60) -> T:
    """Return the first true value of `probe`, asked again and again; fail, saying what was awaited, when time is up."""
    deadline = time.monotonic() + seconds
    last: object = None
    while time.monotonic() < deadline:
        try:
            if last := probe():
                return last
        except (AssertionError, OSError, subprocess.CalledProcessError) as error:
            last = error
        time.sleep(0.25)
    raise AssertionError(f"not within {seconds} s: {what}; last: {last!r}")


@dataclass(frozen=True)
class Node:
    """The one-node Kubernetes on this machine."""

    kubeconfig: Path
    binaries: Path

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Return what kubectl prints; raise CalledProcessError with its errors if it fails."""
        command = [str(self.binaries / "kubectl"), "--kubeconfig", str(self.kubeconfig), *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
        if done.returncode:
            raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
        return done.stdout

    def get(self, *arguments: str) -> Any:
        """Return objects as kubectl's JSON."""
        return json.loads(self.kubectl("get", *arguments, "--output=json"))

    def apply(self, *manifests: dict[str, Any]) -> None:
        """Create or change objects."""
        self.kubectl(
            "apply", "--filename=-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests})
        )

    def remove(self, namespace: str) -> None:
        """Delete a namespace of the test's own with all that is in it, for which nobody waits: it takes 5 to 15 seconds."""
        self.kubectl("delete", "namespace", namespace, "--wait=false")

    @property
    def _administrator(self) -> ssl.SSLContext:
        """Read anew each time: a node that was taken down and brought up again has another authority."""
        trusting = ssl.create_default_context(cafile=PKI / "ca.crt")
        trusting.load_cert_chain(PKI / "admin.crt", PKI / "admin.key")
        return trusting

    def pods(self, namespace: str, name: str) -> list[Any]:
        """Return the running pods of one workload that are not being deleted.

        Nearly every test asks for some, again and again; of each time, kubectl took a tenth of a second to start.
        """
        selector = urllib.parse.urlencode({"labelSelector": f"app.kubernetes.io/name={name}"})
        url = f"{API_URL}/api/v1/namespaces/{namespace}/pods?{selector}"
        with urllib.request.urlopen(url, timeout=30, context=self._administrator) as answer:
            found = json.loads(answer.read())["items"]
        return [
            pod for pod in found if pod["status"]["phase"] == "Running" and "deletionTimestamp" not in pod["metadata"]
        ]

    def process(self, pod: Any) -> int:
        """Return the process id, on this machine, of a pod's first container; of statuses, the order is another."""
        name = pod["spec"]["containers"][0]["name"]
        (status,) = [status for status in pod["status"]["containerStatuses"] if status["name"] == name]
        container = status["containerID"].removeprefix("containerd://")
        listed = subprocess.run(
            ["ctr", "--address", str(CONTAINERD_SOCKET), "--namespace", "k8s.io", "tasks", "list"],
            capture_output=True,
            text=True,
            check=True,
        )
        return next(int(line.split()[1]) for line in listed.stdout.splitlines() if line.startswith(container))


@dataclass(frozen=True)
class Platform:
    """The dev stack, up."""

    node: Node
    url: str

    def engine(self) -> Engine:
        """Return the engine of the stack, for what has no verb."""
        return verbs.engine(verbs.Target(stack=STACK, context=None))

    def outputs(self) -> dict[str, Any]:
        """Return the stack's outputs."""
        return self.engine().outputs()

    def call(self, path: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
        """Return the status and the JSON (or text) that the frontend answers."""
        request = urllib.request.Request(
            self.url + path,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            # Longer than the API waits for a primary, `postgres_patience_seconds`, and then for the queue.
            with urllib.request.urlopen(request, timeout=20) as response:
                return response.status, _decoded(response.read())
        except urllib.error.HTTPError as error:
            return error.code, _decoded(error.read())


def with_settings(platform: Platform, **changed: dict[str, Any]) -> Engine:
    """Return the engine of the stack with other settings: of each tier named, those that are given."""
    engine = platform.engine()
    settings = yaml.safe_load((ROOT / f"Pulumi.{STACK}.yaml").read_text())["config"]["platform:settings"]
    for tier, values in changed.items():
        for key, value in values.items():
            settings[tier][key] = {**settings[tier][key], **value} if isinstance(value, dict) else value
    return replace(engine, config={**engine.config, "platform:settings": settings})


def _decoded(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return content.decode()


@pytest.fixture(scope="session")
def platform(tools: Tools) -> Generator[Platform]:
    """Bring the dev stack up, or repair it; take it down again if it was not up before."""
    was_up = one_node.kubeconfig.exists()
    local("up", "--stack", STACK)
    node = Node(kubeconfig=one_node.kubeconfig, binaries=tools.binaries)
    yield Platform(node=node, url=local("url", "--stack", STACK).stdout.strip())
    local(*(("up", "--stack", STACK) if was_up else ("down", "--stack", STACK)))


@pytest.fixture(scope="session")
def node(platform: Platform) -> Node:
    """Return the node under the platform."""
    return platform.node


@pytest.fixture(scope="session")
def image(node: Node) -> str:
    """Return a small image with a shell that the node has: that of the queue."""
    return node.get("statefulset", "redis", "--namespace=data")["spec"]["template"]["spec"]["containers"][0]["image"]
