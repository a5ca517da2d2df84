"""What stands behind a Service: the workloads whose pods it selects, and the labels and annotations that those pods carry."""

from collections.abc import Iterator, Sequence

from policies.containers import templates, under
from policies.rule import Manifest, at, namespace_of


def pod_metadata(manifest: Manifest) -> Iterator[tuple[str, Manifest]]:
    """Yield the path and the metadata of each pod that an object describes."""
    for path, _pod, metadata in templates(manifest):
        yield under(path.rpartition(".")[0], "metadata"), metadata


def behind(service: Manifest, manifests: Sequence[Manifest]) -> list[Manifest]:
    """Return the workloads whose pods a Service sends to: none for a Service without a selector."""
    selector, namespace = at(service, "spec.selector", {}), namespace_of(service)
    return [
        each
        for each in manifests
        if selector
        and at(each, "kind") not in ("Service", "ConfigMap", "Secret")
        and namespace_of(each) == namespace
        and any(_labelled(metadata, selector) for _path, metadata in pod_metadata(each))
    ]


def _labelled(metadata: Manifest, selector: Manifest) -> bool:
    labels = at(metadata, "labels", {})
    return all(key in labels and labels[key] == value for key, value in selector.items())
