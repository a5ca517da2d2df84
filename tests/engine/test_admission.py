"""What the pack refuses, a real API server refuses too, whoever asks it: the rules that the cluster repeats."""

import http
from collections.abc import Generator, Sequence
from contextlib import closing

import pytest

from policies.admission import OURS, repeated
from policies.containers import POD_PATHS, has_pods
from policies.judge import judge
from policies.plain import plain
from policies.powers import RBAC
from policies.rule import Rule
from policies.rules import RULES
from policies.rules.secrets import SEARCHED
from tests.conftest import Tools
from tests.engine.api import Answer, Api, resource
from tests.engine.completed import complete
from tests.engine.control_plane import control_plane
from tests.policies.fixtures import Case, Manifest, cases
from tests.policies.wrappings import wrapped
from tests.processes import eventually
from tests.render import STACKS, committed

POLICY = "ValidatingAdmissionPolicy"
NAMESPACES = ("app", "data", "security")
# Like one of the platform's, but that what would be refused there is told of: by each policy that does, not by the first one.
TOLD = "told"
REPEATED = dict(repeated(RULES, NAMESPACES))
CASES = [case for name in REPEATED for case in cases(name)]
BY_NAME = {rule.name: rule for rule in RULES if isinstance(rule, Rule) and rule.admission}
# What a rule finds and its `lacks` says that the cluster does not.
LET_THROUGH = {
    ("secret-not-written-in-pods", "it is random text under an innocent name"),
    ("secret-not-written-in-pods", "it is encoded"),
    ("secret-not-written-in-texts", "a key, encoded as binary"),
    ("secret-not-written-in-texts", "an annotation of anything"),
    ("secret-not-written-in-texts", "an annotation of pods"),
    ("secret-not-written-in-texts", "an annotation of a job's pods"),
}


@pytest.fixture(scope="module")
def server(tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> Generator[Api]:
    """Yield an API server with the platform's policies, bound in one more namespace too, where they only warn."""
    directory = tmp_path_factory.mktemp("admission")
    with control_plane(tools.binaries, directory) as kubeconfig, closing(Api(kubeconfig)) as asked:
        # The platform's namespaces without their Pod Security labels: what refuses here are the policies.
        for name, labels in (*((name, OURS) for name in NAMESPACES), (TOLD, {"a": TOLD}), ("elsewhere", {})):
            made(asked, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
        for each in (each for each in committed("prod").manifests if each["kind"].startswith(POLICY)):
            made(asked, each)
            if each["kind"] == f"{POLICY}Binding":
                made(asked, telling(each))
        for name in REPEATED:
            eventually(lambda name=name: in_force(asked, name), f"{name} is in force", seconds=60)
        yield asked


def made(server: Api, manifest: Manifest, validation: str = "Strict") -> None:
    answer = server.create(manifest, f"fieldValidation={validation}")
    assert not answer.refusal, answer.refusal


def telling(binding: Manifest) -> Manifest:
    """Return the same binding for another namespace, where it warns."""
    selector = {"namespaceSelector": {"matchLabels": {"a": TOLD}}}
    spec = {**binding["spec"], "validationActions": ["Warn"], "matchResources": selector}
    return {**binding, "metadata": {"name": f"{binding['metadata']['name']}-told"}, "spec": spec}


def asked(server: Api, manifest: Manifest) -> Answer:
    """Return what is said of an object in the namespace where policies warn."""
    return server.create(complete(manifest, TOLD), "dryRun=All", "fieldValidation=Ignore")


def told(answer: Answer) -> set[str]:
    """Return the rules whose policies would refuse an object."""
    return {
        name for name in REPEATED if any(f"'platform-{name}'" in each for each in (*answer.warnings, answer.refusal))
    }


def broken(manifest: Manifest) -> set[str]:
    """Return the rules that the cluster repeats and an object breaks."""
    return {name for name, rule in BY_NAME.items() if any(True for _found in judge(rule, plain(manifest)))}


def first_told(server: Api, name: str) -> Manifest | None:
    """Return the first object of a rule's cases that its policy would refuse, rather than the API server's own checks."""
    failing = (manifest for case in cases(name) if case.sort == "fail" for manifest in concerned(case.manifests))
    return next((each for each in failing if name in told(asked(server, each))), None)


def in_force(server: Api, name: str) -> bool:
    """Tell whether a rule's policy is bound where it warns, and something denies the same in the platform's namespaces."""
    manifest = first_told(server, name)
    return bool(manifest and server.create(complete(manifest), "dryRun=All", "fieldValidation=Ignore").refusal)


def concerned(manifests: Sequence[Manifest]) -> list[Manifest]:
    """Return the objects that any of the policies is about."""
    judged = {resource for spec in REPEATED.values() for resource in resources(spec)}
    return [each for each in manifests if resource(complete(each)) in judged]


def resources(spec: Manifest) -> set[str]:
    """Return the resources that a policy is about."""
    rules = spec["matchConstraints"]["resourceRules"]
    groups = [(f"{group}/" if group else "", rule) for rule in rules for group in rule["apiGroups"]]
    return {f"{group}{name}" for group, rule in groups for name in rule["resources"]}


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.rule}: {case.name}")
def test_it_refuses_what_the_pack_refuses_and_nothing_else(server: Api, case: Case) -> None:
    found = set[str]()
    for manifest in concerned(case.manifests):
        answer = asked(server, manifest)
        lets_through = {case.rule} if (case.rule, case.name) in LET_THROUGH else set[str]()
        # What the server takes for no object at all, no policy has to refuse.
        if not any(reason in answer.refusal for reason in (" is invalid: ", " cannot be handled as a ")):
            assert told(answer) == broken(complete(manifest)) - lets_through, answer
            found |= told(answer) | lets_through
        else:
            found |= broken(manifest)
    assert (case.rule in found) == (case.sort == "fail"), found


@pytest.mark.parametrize("name", REPEATED)
def test_it_denies_in_the_platforms_namespaces(server: Api, name: str) -> None:
    for namespace in NAMESPACES:
        answer = server.create(named(server, name, namespace), "dryRun=All", "fieldValidation=Ignore")
        assert answer.status == http.HTTPStatus.UNPROCESSABLE_ENTITY
        assert "ValidatingAdmissionPolicy 'platform-" in answer.refusal


@pytest.mark.parametrize("name", [name for name, rule in BY_NAME.items() if rule.about is has_pods])
def test_no_kind_of_object_hides_a_pod(server: Api, name: str) -> None:
    manifest = first_told(server, name)
    assert manifest
    wrappings = [
        each
        for each, token in wrapped(manifest)
        if not token and each.get("kind") in POD_PATHS and "ephemeralContainers" not in str(each)
    ]
    assert {each["kind"] for each in wrappings} == POD_PATHS.keys()
    for each in wrappings:
        assert name in told(asked(server, each)), each["kind"]


@pytest.mark.parametrize("name", REPEATED)
def test_another_namespace_is_left_alone(server: Api, name: str) -> None:
    answer = server.create(named(server, name, "elsewhere"), "dryRun=All", "fieldValidation=Ignore")
    assert (answer.refusal, answer.warnings) == ("", [])


@pytest.mark.parametrize("stack", STACKS)
def test_it_takes_the_platform(server: Api, stack: str) -> None:
    judged = {resource for spec in REPEATED.values() for resource in resources(spec)}
    objects = [each for each in committed(stack).manifests if resource(each) in judged]
    refusals = [server.create(each, "dryRun=All", "fieldValidation=Strict").refusal for each in objects]
    assert set(refusals) == {""}
    assert len(objects) > 30


@pytest.mark.parametrize("name", REPEATED)
def test_a_change_is_refused_as_well(server: Api, name: str) -> None:
    bad = named(server, name, TOLD)
    passing = next(case for case in cases(name) if case.sort == "pass").manifests
    good = next(each for each in passing if each["kind"] == bad["kind"])
    made(server, {**complete(good), "metadata": bad["metadata"]}, "Ignore")
    answer = server.replace(bad, "dryRun=All", "fieldValidation=Ignore")
    assert name in told(answer) or "cannot change roleRef" in answer.refusal


def test_what_was_there_before_can_still_end(server: Api) -> None:
    before = [named(server, name, "adopted") for name in REPEATED]
    namespace: Manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "adopted"}}
    for each in (namespace, *before):
        made(server, each, "Ignore")
    namespace["metadata"]["labels"] = OURS
    assert not server.replace(namespace).refusal
    for each in before:
        again = {**each, "metadata": {**each["metadata"], "name": "again"}}
        eventually(
            lambda again=again: server.create(again, "dryRun=All", "fieldValidation=Ignore").refusal, "it is ours"
        )
        # As its controller scales it down, and the garbage collector takes its finalizer.
        ending: Manifest = {**each, "metadata": {**each["metadata"], "labels": {}, "finalizers": ["a.example/last"]}}
        if each["kind"] == "Deployment":
            ending["spec"] = {**each["spec"], "replicas": 0}
        assert server.replace(ending, "dryRun=All", "fieldValidation=Ignore").refusal == "", each


def test_in_no_namespace_only_what_is_the_platforms_is_judged(server: Api) -> None:
    everything: Manifest = {"kind": "ClusterRole", "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]}
    assert not rbac_refused(server, everything)
    assert rbac_refused(server, everything, OURS)
    for subject, refused in (
        ({"kind": "ServiceAccount", "namespace": "elsewhere", "name": "it"}, False),
        ({"kind": "Group", "name": "system:masters"}, False),
        ({"kind": "Group", "name": "system:serviceaccounts:apple"}, False),
        ({"kind": "ServiceAccount", "namespace": "app", "name": "it"}, True),
        ({"kind": "Group", "name": "system:serviceaccounts:data"}, True),
        ({"kind": "User", "name": "system:serviceaccount:security:it"}, True),
    ):
        role = {"apiGroup": RBAC, "kind": "ClusterRole", "name": "cluster-admin"}
        binding = {"kind": "ClusterRoleBinding", "roleRef": role, "subjects": [subject]}
        assert bool(rbac_refused(server, binding)) == refused, subject
    mine: Manifest = {
        **everything,
        "rules": [],
        "apiVersion": f"{RBAC}/v1",
        "metadata": {"name": "mine", "labels": OURS},
    }
    made(server, mine)
    assert server.replace({**mine, "rules": everything["rules"], "metadata": {"name": "mine"}}).refusal


def test_the_api_servers_own_roles_are_taken(server: Api) -> None:
    own = [
        {"kind": kind, **each}
        for kind in ("ClusterRole", "ClusterRoleBinding")
        for each in server.ask("GET", f"/apis/{RBAC}/v1/{kind.lower()}s").body["items"]
        if each["metadata"].get("labels", {}).get("kubernetes.io/bootstrapping")
    ]
    assert len(own) > 50
    assert {rbac_refused(server, each) for each in own} == {""}


def test_what_controllers_and_others_write_is_taken(server: Api) -> None:
    authority = "-----BEGIN CERTIFICATE-----\nMIID\n-----END CERTIFICATE-----\n"
    much = "".join(f"rule_{number}: match the password of a form, and say token\n" for number in range(15_000))
    dear = "password:\n" * (SEARCHED // 10)
    files = {"kube-root-ca.crt": authority, "rules": much, "settings": much[:SEARCHED], "dear": dear[:SEARCHED]}
    for name, text in files.items():
        assert server.create(config_map(name, text), "dryRun=All").refusal == "", name
    said = server.create(config_map("it", f"{much[: SEARCHED - 100]}\npassword: letmein\n"), "dryRun=All").refusal
    assert "(secret-not-written-in-texts: " in said


def named(server: Api, name: str, namespace: str = "app") -> Manifest:
    """Return an object that a rule's policy refuses, under the rule's name."""
    manifest = first_told(server, name)
    assert manifest
    bad = complete(manifest, namespace)
    return {**bad, "metadata": {**bad["metadata"], "name": name}}


def config_map(name: str, text: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "app"},
        "data": {name: text},
    }


def rbac_refused(server: Api, manifest: Manifest, labels: Manifest | None = None) -> str:
    """Return why a role or binding of no namespace cannot be made under another name."""
    made = {**manifest, "apiVersion": f"{RBAC}/v1", "metadata": {"name": "another", "labels": labels or {}}}
    return server.create(made, "dryRun=All").refusal
