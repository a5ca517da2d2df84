"""Who a workload is. Labels and selectors are derived here and nowhere else."""

from dataclasses import dataclass

import pulumi
from pulumi_kubernetes import meta

ANNOTATIONS = {"pulumi.com/patchFieldManager": "platform"}
"""What every object carries: one field manager for all runs. The default is another for each creation, and after an `up` that
was killed the next one would be in conflict with it over what the API server filled in, a StatefulSet's claims among it."""


NOT_AWAITED = {"pulumi.com/skipAwait": "true"}
"""What a Service carries as well: whether its pods serve is awaited with them, and the provider lets each Service settle for 10 s."""


NOT_IN_QUARANTINE = meta.v1.LabelSelectorRequirementArgs(key="quarantine", operator="NotIn", values=["true"])
"""In the pod selector of every policy that allows something: policies add up, so a pod that is given the label `quarantine=true`
is off the network only if none of them selects it any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A workload's name, the namespace it lives in, and the tier it is drawn in.

    `namespace` is the plain name, for DNS and selectors. `placement` is the same name as the Namespace's
    default deny reports it, so that whatever is placed there waits for both and is deleted before them. `issuer` is who
    issues certificates to servers there, and `trust` names the Secret whose `ca.crt` its clients verify servers against.
    """

    name: str
    namespace: str
    tier: str
    placement: pulumi.Input[str]
    issuer: pulumi.Input[str] = ""
    trust: pulumi.Input[str] = ""

    @property
    def selector(self) -> dict[str, str]:
        """The labels that select this workload's pods. Immutable on a Deployment, so no key is ever added."""
        return {"app.kubernetes.io/name": self.name, "app.kubernetes.io/part-of": "platform"}

    @property
    def labels(self) -> dict[str, str]:
        """The selector and the descriptive labels of every object that belongs to this workload."""
        return {**self.selector, "app.kubernetes.io/component": self.tier, "app.kubernetes.io/managed-by": "pulumi"}

    def host(self, service: str) -> str:
        """Return the full name, in the cluster's DNS, of a Service that lives beside this workload."""
        return f"{service}.{self.namespace}.svc.cluster.local"

    @property
    def label_selector(self) -> meta.v1.LabelSelectorArgs:
        """The selector as Kubernetes objects take it."""
        return meta.v1.LabelSelectorArgs(match_labels=self.selector)

    @property
    def connected(self) -> meta.v1.LabelSelectorArgs:
        """What selects this workload's pods for a policy that allows something."""
        return meta.v1.LabelSelectorArgs(match_labels=self.selector, match_expressions=[NOT_IN_QUARANTINE])

    def metadata(self, name: str | None = None) -> meta.v1.ObjectMetaArgs:
        """Metadata of an object others address by name: this workload's own, or `name`."""
        return meta.v1.ObjectMetaArgs(
            name=name or self.name, namespace=self.placement, labels=self.labels, annotations=ANNOTATIONS
        )

    def cluster_metadata(self, name: str) -> meta.v1.ObjectMetaArgs:
        """Metadata of an object of this workload that is in no namespace."""
        return meta.v1.ObjectMetaArgs(name=name, labels=self.labels, annotations=ANNOTATIONS)

    def service_metadata(self, name: str | None = None) -> meta.v1.ObjectMetaArgs:
        """Metadata of a Service."""
        metadata = self.metadata(name)
        metadata.annotations = ANNOTATIONS | NOT_AWAITED
        return metadata

    def unnamed_metadata(self) -> meta.v1.ObjectMetaArgs:
        """Metadata of an object only our own pods consume: Pulumi names it, so new content rolls the pods."""
        return meta.v1.ObjectMetaArgs(namespace=self.placement, labels=self.labels, annotations=ANNOTATIONS)
