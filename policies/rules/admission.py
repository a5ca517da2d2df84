"""Admission: what judges objects on their way in is there, is asked about all of them, and refuses what it cannot judge."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from policies.backends import behind, pod_metadata
from policies.rule import Manifest, StackRule, Unreadable, at, identity, kinds
from policies.running import namespace_labels
from policies.selectors import matcher
from policies.workloads import least

_WEBHOOKS = ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration")
_INJECTED = ("cert-manager.io/inject-ca-from", "cert-manager.io/inject-ca-from-secret")
_POLICY, _BINDING = "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"
_MISSING = "spec.paramRef.parameterNotFoundAction"
_TEXT = re.compile(r"'[^']*'|\"[^\"]*\"")
_CONSTANT = re.compile(r"(?:^|&&|\|\||(?<!\w)\()\s*(?:true|false)\s*(?=&&|\|\||\)|$)")
_VARIABLE = re.compile(r"\b(?:object|oldObject|request|params|namespaceObject|authorizer|variables)\b")


def _admission(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    namespaces = [each for each in manifests if at(each, "kind") == "Namespace"]
    for manifest in manifests:
        if at(manifest, "kind") in _WEBHOOKS:
            for index, webhook in enumerate(at(manifest, "webhooks", [])):
                for text in (*_closed(webhook, manifest, namespaces), *_available(webhook, manifests)):
                    yield manifest, f"webhooks[{index}]{text}"
        elif at(manifest, "kind") == _POLICY and at(manifest, "spec.failurePolicy", "Fail") != "Fail":
            yield manifest, "spec.failurePolicy lets in what it cannot judge; set it to Fail"
        elif at(manifest, "kind") == _BINDING and at(manifest, _MISSING, "Deny") != "Deny":
            yield manifest, f"{_MISSING} lets in everything while the parameter is away; set it to Deny"


def _closed(webhook: Manifest, manifest: Manifest, namespaces: list[Manifest]) -> Iterator[str]:
    if at(webhook, "failurePolicy", "Fail") != "Fail":
        yield ".failurePolicy lets everything in while the webhook is away; set it to Fail"
    if at(webhook, "timeoutSeconds", 10) > 10:
        yield ".timeoutSeconds holds up the API server; set it to 10 at most"
    annotations = at(manifest, "metadata.annotations", {})
    bundle = at(webhook, "clientConfig", {}).get("caBundle")
    # That there is one is enough; it is often made by what makes the certificate, and known only then.
    if not (isinstance(bundle, Unreadable) or bundle) and not any(annotations.get(key) for key in _INJECTED):
        yield ".clientConfig does not say whose certificates are believed; set caBundle, or have cert-manager inject it"
    if at(manifest, "kind") == _WEBHOOKS[0]:
        yield from _by_label(webhook)
    for namespace in namespaces:
        if not matcher(at(webhook, "namespaceSelector", {}))(namespace_labels(namespace)):
            yield f".namespaceSelector leaves out the namespace {identity(namespace)[1]}; leave out none of the stack's"


def _available(webhook: Manifest, manifests: Sequence[Manifest]) -> Iterator[str]:
    wanted = at(webhook, "clientConfig.service")
    if wanted is None:
        yield ".clientConfig.url is a server that the stack does not run; name a Service"
        return
    place = (at(wanted, "namespace"), at(wanted, "name"))
    services = [each for each in manifests if at(each, "kind") == "Service" and identity(each) == place]
    workloads = [each for service in services for each in behind(service, manifests)]
    if not workloads or any(least(manifests, each) < 2 for each in workloads):
        yield ".clientConfig.service has not two pods behind it, so a restart stops every change; run two replicas"
    budgets = [
        each for each in manifests if at(each, "kind") == "PodDisruptionBudget" and identity(each)[0] == place[0]
    ]
    for workload in workloads:
        labels: list[dict[str, Any]] = [at(metadata, "labels", {}) for _path, metadata in pod_metadata(workload)]
        if not any(matcher(at(budget, "spec.selector", {}))(each) for budget in budgets for each in labels):
            yield ".clientConfig.service may lose all its pods when nodes are drained; add a PodDisruptionBudget"


def _in_force(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    refusing = [
        each for each in manifests if at(each, "kind") == _BINDING and "Deny" in at(each, "spec.validationActions", [])
    ]
    for policy in manifests:
        if at(policy, "kind") == _POLICY:
            bindings = [each for each in refusing if at(each, "spec.policyName") == at(policy, "metadata.name")]
            if not bindings:
                fix = "add a ValidatingAdmissionPolicyBinding with validationActions: [Deny]"
                yield policy, f"metadata.name is in no binding that refuses; {fix}"
            yield from ((policy, text) for text in (*_empty(policy), *_left_out(policy, "spec.matchConstraints")))
            for binding in bindings:
                yield from ((binding, text) for text in _left_out(binding, "spec.matchResources"))
            for name in _elsewhere(policy, bindings, manifests):
                fix = "select it by the namespaceSelector of the policy and of a binding"
                yield policy, f"metadata.name refuses nothing in the namespace {name}; {fix}"


def _empty(policy: Manifest) -> Iterator[str]:
    """Yield what makes a policy one that refuses nothing: an expression that is the same whatever comes is found, if it is plain.

    Which is one that no variable is in, or that a `true` or `false` is one side of.
    """
    if not at(policy, "spec.matchConstraints.resourceRules", []):
        yield "spec.matchConstraints.resourceRules means no object; name what is judged"
    if not at(policy, "spec.validations", []):
        yield "spec.validations is empty; write what must be true"
    for part in ("matchConditions", "validations"):
        for index, each in enumerate(at(policy, f"spec.{part}", [])):
            expression = _TEXT.sub("''", str(at(each, "expression", "")))
            if not _VARIABLE.search(expression):
                yield f"spec.{part}[{index}].expression looks at nothing, and is always the same; remove it"
            elif _CONSTANT.search(expression):
                yield f"spec.{part}[{index}].expression has a side that is always the same; write what is left without it"


def _by_label(match: Manifest) -> Iterator[str]:
    if any(at(match, f"objectSelector.{part}") for part in ("matchLabels", "matchExpressions")):
        yield ".objectSelector leaves out what whoever makes it labels so; remove it"


def _left_out(manifest: Manifest, path: str) -> Iterator[str]:
    match = at(manifest, path, {})
    yield from (f"{path}{text}" for text in _by_label(match))
    for index, rule in enumerate(at(match, "excludeResourceRules", [])):
        if "*" in at(rule, "apiGroups", []) and {"*", "*/*"} & set(at(rule, "resources", [])):
            yield f"{path}.excludeResourceRules[{index}] leaves out everything; remove it"


def _elsewhere(policy: Manifest, bindings: Sequence[Manifest], manifests: Sequence[Manifest]) -> Iterator[str]:
    """Yield the namespaces of the stack in which no binding of a policy is of effect."""
    own = at(policy, "spec.matchConstraints.namespaceSelector", {})
    selectors = [(own, at(binding, "spec.matchResources.namespaceSelector", {})) for binding in bindings]
    for namespace in manifests if bindings else ():
        if at(namespace, "kind") == "Namespace":
            labels = namespace_labels(namespace)
            if not any(matcher(first)(labels) and matcher(second)(labels) for first, second in selectors):
                yield str(at(namespace, "metadata.name"))


ADMISSION_RULES = (
    StackRule(
        name="admission-fails-closed",
        description="What judges objects on their way in refuses what it cannot judge, leaves no namespace out, and is always there.",
        why="Whoever brings the webhook down, or writes into the namespace it leaves out, has everything let in.",
        box="input-validation",
        controls=("kubescape:C-0036", "kubescape:C-0039"),
        about=kinds(*_WEBHOOKS, _POLICY, _BINDING),
        severity="high",
        check=_admission,
    ),
    StackRule(
        name="admission-policies-in-force",
        description="Each admission policy refuses something, in every namespace of the stack.",
        why="A policy without a binding, or with one that only warns, reads like protection; nothing is refused.",
        box="authorization",
        controls=("kubescape:C-0036", "kubescape:C-0039"),
        about=kinds(_POLICY),
        severity="high",
        check=_in_force,
    ),
)
