"""Quarantine: one label on a pod takes it off the network, whatever policies there are."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from policies.containers import has_pods
from policies.judge import reference
from policies.reachability import Network
from policies.rule import Manifest, StackRule
from policies.rules.network import BOTH

LABEL = ("quarantine", "true")


def _isolates(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    network = Network.of(manifests)
    key, value = LABEL
    for pod in network.pods:
        if pod.host_network:
            yield pod.manifest, "hostNetwork puts the pod where no label takes it off the network; leave it out"
            continue
        labelled = replace(pod, labels={**pod.labels, key: value})
        selecting = [policy for policy in network.policies.get(pod.namespace, ()) if policy.selects(labelled.labels)]
        for way in BOTH:
            opening = [policy for policy in selecting if policy.rules.get(way)]
            if opening:
                fix = f"add a {key} NotIn expression to its podSelector"
                yield (
                    pod.manifest,
                    f"metadata.labels with {key} leave the {way} of {reference(opening[0].manifest)}; {fix}",
                )
            elif not any(way in policy.rules for policy in selecting):
                yield (
                    pod.manifest,
                    f"metadata.labels with {key} are selected by no policy for {way}; refuse all by default",
                )


QUARANTINE_RULES = (
    StackRule(
        name="network-quarantine-isolates",
        description="A pod that is given the label of quarantine reaches nothing, and nothing reaches it.",
        why="Policies add up: one more that refuses everything takes nothing back, and the response to a break-in does nothing.",
        box="automated-response",
        about=has_pods,
        severity="critical",
        check=_isolates,
    ),
)
