"""The rules that the cluster repeats, as the bodies of ValidatingAdmissionPolicies."""

from collections.abc import Iterator, Sequence
from inspect import cleandoc
from typing import Any

from policies import links
from policies.containers import POD_PATHS
from policies.rule import AnyRule, Rule

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


def _pod() -> str:
    """Return what finds the pod in an object of any of those kinds."""
    template = "object.spec.template.spec"
    others = [(kind, path) for kind, path in POD_PATHS.items() if f"object.{path}" != template]
    return " : ".join([*(f"object.kind == '{kind}' ? object.{path}" for kind, path in others), template])


_VARIABLES = (
    {"name": "pod", "expression": _pod()},
    {
        "name": "containers",
        "expression": "variables.pod.containers + "
        "(has(variables.pod.initContainers) ? variables.pod.initContainers : []) + "
        "(has(variables.pod.ephemeralContainers) ? variables.pod.ephemeralContainers : [])",
    },
)


def repeated(rules: Sequence[AnyRule]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name of each rule that the cluster repeats, with the `spec` of its ValidatingAdmissionPolicy.

    What cannot be evaluated is refused, as the pack does.
    """
    for rule in rules:
        if isinstance(rule, Rule) and (admission := rule.admission):
            message = f"{rule.description} ({rule.name}: {links.page(rule)})"
            spec: dict[str, Any] = {
                "failurePolicy": "Fail",
                "matchConstraints": {"resourceRules": _resource_rules(admission.resources or _POD_RESOURCES)},
                "validations": [
                    {"expression": cleandoc(expression), "message": message} for expression in admission.expressions
                ],
            }
            yield rule.name, spec if admission.resources else {**spec, "variables": list(_VARIABLES)}


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
