"""The rules that the cluster repeats, as the bodies of ValidatingAdmissionPolicies."""

from collections.abc import Iterator, Mapping, Sequence
from inspect import cleandoc
from typing import Any

from policies import links
from policies.containers import POD_PATHS
from policies.powers import RBAC
from policies.rule import Admission, AnyRule, Rule

# What an object says to be the platform's; the bindings select namespaces by the same label.
OURS = {"app.kubernetes.io/part-of": "platform"}
# Critical rules about one object that the cluster cannot repeat, and why.
NOT_REPEATED: Mapping[str, str] = {
    "secret-only-in-secrets": "only the program knows what is secret; the API server is sent a text like any other",
}

# Every kind with a pod, as `policies.containers` knows them.
_POD_RESOURCES = (
    "pods",
    "pods/ephemeralcontainers",
    "podtemplates",
    "replicationcontrollers",
    "apps/deployments",
    "apps/statefulsets",
    "apps/daemonsets",
    "apps/replicasets",
    "batch/jobs",
    "batch/cronjobs",
)
_IN_NO_NAMESPACE = (f"{RBAC}/clusterroles", f"{RBAC}/clusterrolebindings")


def _pod(of: str) -> str:
    """Return what finds the pod in an object of any of those kinds."""
    template = f"{of}.spec.template.spec"
    others = [(kind, path) for kind, path in POD_PATHS.items() if f"{of}.{path}" != template]
    return "(" + " : ".join([*(f"{of}.kind == '{kind}' ? {of}.{path}" for kind, path in others), template]) + ")"


_OF_PODS = {
    "pod": _pod("object"),
    "containers": "variables.pod.containers + variables.pod.?initContainers.orValue([]) + "
    "variables.pod.?ephemeralContainers.orValue([])",
    "contexts": "[variables.pod.?securityContext.orValue({})] + "
    "variables.containers.map(container, container.?securityContext.orValue({}))",
    "volumes": "variables.pod.?volumes.orValue([])",
    "linux": "variables.pod.?os.?name.orValue('linux') != 'windows'",
}


def repeated(rules: Sequence[AnyRule], namespaces: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name of each rule that the cluster repeats, with the `spec` of its ValidatingAdmissionPolicy.

    What cannot be evaluated is refused, as the pack does. `namespaces` are the platform's.
    """
    for rule in rules:
        if isinstance(rule, Rule) and (admission := rule.admission):
            message = f"{rule.description} ({rule.name}: {links.page(rule)})"
            resources = admission.resources or _POD_RESOURCES
            spec: dict[str, Any] = {
                "failurePolicy": "Fail",
                "matchConstraints": {"resourceRules": _resource_rules(resources)},
                "variables": [{"name": name, "expression": text} for name, text in _variables(admission).items()],
                "validations": [
                    {"expression": f"variables.unchanged || ({cleandoc(each)})", "message": message}
                    for each in admission.expressions
                ],
            }
            if any(each in _IN_NO_NAMESPACE for each in resources):
                spec["matchConditions"] = [{"name": "it-is-the-platforms", "expression": _ours(namespaces)}]
            yield rule.name, spec


def _variables(admission: Admission) -> dict[str, str]:
    """Return the variables of a policy; the last one tells whether an object was there before, the same in all that matters."""
    paths = [f"?{part.replace('.', '.?')}" for part in admission.parts]
    same = [f"object.{path} == oldObject.{path}" for path in paths]
    with_pod = not admission.resources or set(admission.resources) <= set(_POD_RESOURCES)
    if with_pod:
        same.append(f"variables.pod == {_pod('oldObject')}")
    unchanged = " && ".join(["oldObject != null", *same])
    return {**(_OF_PODS if with_pod else {}), "unchanged": unchanged}


def _ours(namespaces: Sequence[str]) -> str:
    """Return what tells whether an object is the platform's. No binding can select those that are in no namespace."""
    (label, value) = next(iter(OURS.items()))
    names = "|".join(namespaces)
    return cleandoc(f"""
        has(object.metadata.namespace) ||
        [object, oldObject].exists(each, each != null && each.metadata.?labels[?'{label}'].orValue('') == '{value}') ||
        object.?subjects.orValue([]).exists(subject,
            subject.?namespace.orValue('').matches('^({names})$') ||
            subject.name.matches('^system:serviceaccounts?:({names})(:|$)'))
    """)


def _resource_rules(resources: Sequence[str]) -> list[dict[str, Any]]:
    groups: dict[str, list[str]] = {}
    for resource in resources:
        group, _, name = resource.rpartition("/") if not resource.startswith("pods/") else ("", "", resource)
        groups.setdefault(group, []).append(name)
    operations = ["CREATE", "UPDATE"]
    return [
        {"apiGroups": [group], "apiVersions": ["*"], "operations": operations, "resources": names}
        for group, names in groups.items()
    ]
