"""What the cluster itself refuses: the rules of the policy pack that it can repeat."""

from collections.abc import Sequence
from typing import cast

import pulumi
from pulumi_kubernetes import admissionregistration as admissions
from pulumi_kubernetes import meta

from components.labels import ANNOTATIONS
from components.namespaces import Namespace
from policies.admission import OURS, repeated
from policies.rules import RULES

_LABELS = {
    **OURS,
    "app.kubernetes.io/component": "admission",
    "app.kubernetes.io/managed-by": "pulumi",
}


class Admission(pulumi.ComponentResource):
    """In the platform's namespaces nobody applies what the pack would refuse: a ValidatingAdmissionPolicy for each such rule.

    Their expressions stand beside the rules they repeat, in `policies/rules/`.
    """

    def __init__(self, name: str, *, of: Sequence[Namespace], opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("platform:index:Admission", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        ours = meta.v1.LabelSelectorArgs(match_labels=OURS)
        for rule, spec in repeated(RULES, [namespace.name for namespace in of]):
            metadata = meta.v1.ObjectMetaArgs(name=f"platform-{rule}", labels=_LABELS, annotations=ANNOTATIONS)
            body = cast("admissions.v1.ValidatingAdmissionPolicySpecArgsDict", spec)
            policy = admissions.v1.ValidatingAdmissionPolicy(rule, metadata=metadata, spec=body, opts=child)
            admissions.v1.ValidatingAdmissionPolicyBinding(
                rule,
                metadata=metadata,
                spec=admissions.v1.ValidatingAdmissionPolicyBindingSpecArgs(
                    policy_name=policy.metadata.name.apply(str),
                    validation_actions=["Deny"],
                    match_resources=admissions.v1.MatchResourcesArgs(namespace_selector=ours),
                ),
                opts=child,
            )
        self.register_outputs({})
