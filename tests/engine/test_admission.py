"""What the pack refuses, a real API server refuses too, whoever asks it: the rules that the cluster repeats."""

import copy
import subprocess
from collections.abc import Generator

import pytest
import yaml

from policies.admission import repeated
from policies.containers import POD_PATHS, has_pods, pods
from policies.judge import Finding, judge
from policies.plain import plain
from policies.rule import Rule
from policies.rules import RULES
from tests.conftest import Tools
from tests.engine.control_plane import control_plane
from tests.policies.fixtures import Case, Manifest, cases, compliant
from tests.policies.wrappings import wrapped
from tests.processes import eventually
from tests.render import STACKS, committed

REPEATED = dict(repeated(RULES))
CASES = [case for name in REPEATED for case in cases(name)]
BY_NAME = {rule.name: rule for rule in RULES if rule.name in REPEATED and isinstance(rule, Rule)}


class Refusing:
    """An API server with the platform's policies, which is asked and never changed."""

    def __init__(self, kubectl: list[str]) -> None:
        self.kubectl = kubectl

    def run(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run([*self.kubectl, *arguments], input=stdin, capture_output=True, text=True, check=False)

    def says(self, manifest: Manifest) -> str:
        """Return why it refuses an object; nothing if it takes it."""
        asked = self.run(
            "create", "--dry-run=server", "--validate=ignore", "--filename=-", stdin=yaml.safe_dump(manifest)
        )
        return asked.stderr if asked.returncode else ""


@pytest.fixture(scope="module")
def server(tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> Generator[Refusing]:
    with control_plane(tools.binaries, tmp_path_factory.mktemp("admission")) as kubeconfig:
        asked = Refusing([str(tools.binaries / "kubectl"), f"--kubeconfig={kubeconfig}"])
        # The platform's namespaces without their Pod Security labels: what refuses here are the policies.
        labels = {"app.kubernetes.io/part-of": "platform"}
        objects = [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
            for name in ("app", "data", "security")
        ]
        objects += [each for each in committed("prod").manifests if each["kind"].startswith("ValidatingAdmission")]
        done = asked.run("create", "--filename=-", stdin=yaml.safe_dump_all(objects))
        assert done.returncode == 0, done.stderr
        for name in REPEATED:
            eventually(lambda name=name: refused_first(asked, name), f"{name} is in force")
        yield asked


def judged(rule: Rule, manifests: list[Manifest]) -> list[Finding]:
    """Return what the pack finds."""
    return [found for manifest in manifests for found in judge(rule, plain(manifest))]


def refused(server: Refusing, case: Case) -> bool:
    """Tell whether the policy of the case's rule refuses one of its objects."""
    return any(f"platform-{case.rule}" in server.says(complete(manifest)) for manifest in case.manifests)


def refused_first(server: Refusing, name: str) -> Case | None:
    """Return the first case that a rule's policy refuses, rather than the API server's own checks before it."""
    failing = (case for case in CASES if case.rule == name and case.sort == "fail")
    return next((case for case in failing if refused(server, case)), None)


def complete(manifest: Manifest) -> Manifest:
    """Return an object with what an API server asks for and no rule does."""
    made = copy.deepcopy(manifest)
    for path, pod in pods(made):
        pod["containers"] = pod.get("containers") or compliant()[0]["spec"]["template"]["spec"]["containers"]
        for sort in ("initContainers", "containers", "ephemeralContainers"):
            for number, container in enumerate(pod.get(sort) or []):
                container["name"] = f"{sort.lower()}-{number}"
                container.setdefault("image", "registry.example/program:1.0")
                if sort == "initContainers" and container.get("restartPolicy") != "Always":
                    for probe in ("livenessProbe", "readinessProbe"):
                        container.pop(probe, None)
        if made["kind"] in ("Job", "CronJob"):
            pod["restartPolicy"] = "Never"
        if path == "spec.template.spec" and made["kind"] != "Job":
            made["spec"]["template"].setdefault("metadata", {})["labels"] = {"app": "it"}
            bare = made["kind"] == "ReplicationController"
            made["spec"]["selector"] = {"app": "it"} if bare else {"matchLabels": {"app": "it"}}
    made["apiVersion"] = {"Job": "batch/v1", "ReplicationController": "v1"}.get(made["kind"], made["apiVersion"])
    if made["kind"] == "StatefulSet":
        made["spec"]["serviceName"] = "it"
    if made["kind"] == "CronJob":
        made["spec"]["schedule"] = "0 0 * * *"
    return made


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.rule}: {case.name}")
def test_it_refuses_what_the_pack_refuses_and_nothing_else(server: Refusing, case: Case) -> None:
    said = [server.says(complete(manifest)) for manifest in case.manifests]
    if case.sort == "fail":
        # The server names one policy of those that refuse; and what it takes for no object at all, none has to refuse.
        broken = (f"platform-{name}" for name, rule in BY_NAME.items() if any(judged(rule, case.manifests)))
        reasons = (" is invalid: ", " cannot be handled as a ", *broken)
        assert any(reason in each for each in said for reason in reasons), said
    else:
        assert set(said) == {""}


@pytest.mark.parametrize("name", [name for name, rule in BY_NAME.items() if rule.about is has_pods])
def test_no_kind_of_object_hides_a_pod(server: Refusing, name: str) -> None:
    case = refused_first(server, name)
    assert case
    asked = [
        manifest
        for manifest, token in wrapped(case.manifests[0])
        if not token and manifest.get("kind") in POD_PATHS and "ephemeralContainers" not in str(manifest)
    ]
    assert {manifest["kind"] for manifest in asked} == POD_PATHS.keys()
    for manifest in asked:
        assert f"platform-{name}" in server.says(complete(manifest)), manifest["kind"]


def test_another_namespace_is_left_alone(server: Refusing) -> None:
    case = refused_first(server, next(iter(REPEATED)))
    assert case
    for manifest in case.manifests:
        elsewhere = {**complete(manifest), "metadata": {"name": "it", "namespace": "default"}}
        assert server.says(elsewhere) == ""


@pytest.mark.parametrize("stack", STACKS)
def test_it_takes_the_platform(server: Refusing, stack: str) -> None:
    concerned = set(POD_PATHS) | {"Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding", "Service"}
    objects = [each for each in committed(stack).manifests if each["kind"] in concerned]
    done = server.run("create", "--dry-run=server", "--filename=-", stdin=yaml.safe_dump_all(objects))
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == len(objects) > 30
