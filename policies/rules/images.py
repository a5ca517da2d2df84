"""Which images may run: from where, of what version, and of software that somebody still corrects."""

from collections import Counter
from collections.abc import Iterator, Sequence

from policies.containers import containers, has_pods
from policies.images import Reference, has_images, images, listed, reference
from policies.rule import Manifest, Rule, StackRule, at


def _references(manifest: Manifest) -> Iterator[tuple[str, Reference]]:
    """Yield each image that has a reference worth the name; one that has none is a breach of `image-version`."""
    for path, value in images(manifest):
        if found := reference(value):
            yield path, found


def _version(manifest: Manifest) -> Iterator[str]:
    for path, value in images(manifest):
        found = reference(value)
        if found is None:
            yield f"{path} names no image; give it a repository with a version or a digest"
        elif found.moves:
            yield f"{path} is a different image each day; give it a version or a digest"


def _allowed(manifest: Manifest) -> Iterator[str]:
    for path, found in _references(manifest):
        if not any(found.below(each) for each in listed("allowed")):
            yield f"{path} is from where nobody said that images come from; use another, or add it to policies/images.yaml"


def _frozen(manifest: Manifest) -> Iterator[str]:
    for path, found in _references(manifest):
        if any(found.below(each) for each in listed("frozen")):
            yield f"{path} is from a registry that gets no updates any more; use its successor"


def _maintained(manifest: Manifest) -> Iterator[str]:
    for path, found in _references(manifest):
        if any(found.ends_with(each) for each in listed("ended")):
            yield f"{path} is software that nobody corrects any more; use its successor"


def _pulled(manifest: Manifest) -> Iterator[str]:
    for container in containers(manifest):
        if at(container.spec, "imagePullPolicy", "IfNotPresent") not in ("IfNotPresent", "Always"):
            yield f"{container.path} runs whatever the node has under the name; set imagePullPolicy: IfNotPresent"


def _one_version(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    named = [(each, path, found) for each in manifests for path, found in _references(each)]
    counts: dict[str, Counter[tuple[str, str]]] = {}
    for _manifest, _path, found in named:
        counts.setdefault(found.name, Counter())[found.tag, found.digest] += 1
    for manifest, path, found in named:
        # The one that most have is taken for the one that is meant; of as many, the newest by its name.
        meant = max(counts[found.name].items(), key=lambda each: (each[1], each[0]))[0]
        if (found.tag, found.digest) != meant:
            yield manifest, f"{path} is another version than others run of it; name the same one everywhere"


IMAGE_RULES: tuple[Rule | StackRule, ...] = (
    Rule(
        name="image-version",
        description="Images are named by a version or a digest.",
        why="A tag that moves runs what nobody reviewed, and another program on each node.",
        box="vulnerability-scanning",
        controls=("kubescape:C-0075", "checkov:CKV_K8S_14", "trivy:KSV-0013", "kube-score:container-image-tag"),
        about=has_images,
        severity="high",
        check=_version,
    ),
    Rule(
        name="image-allowed",
        description="Images come from repositories that are listed.",
        why="A name that looks right but is somebody else's runs their program with our secrets.",
        box="vulnerability-scanning",
        controls=("kubescape:C-0078", "trivy:KSV-0034", "trivy:KSV-0125"),
        about=has_images,
        severity="high",
        check=_allowed,
    ),
    Rule(
        name="image-registry-alive",
        description="No image comes from a registry that gets no updates any more.",
        why="What is there has the holes of the day it was frozen, for ever; and one day it is gone.",
        box="vulnerability-scanning",
        controls=("kubescape:C-0253",),
        about=has_images,
        severity="medium",
        check=_frozen,
    ),
    Rule(
        name="image-software-alive",
        description="No image is of software that nobody corrects any more.",
        why="The next hole in it is never closed, and everybody knows who still runs it.",
        box="vulnerability-scanning",
        controls=("nsa:C-0292", "checkov:CKV_K8S_34", "trivy:KSV-0102"),
        about=has_images,
        severity="high",
        check=_maintained,
    ),
    Rule(
        name="image-pulled",
        description="Nodes fetch an image that they do not have, and never only take what is there.",
        why="Under a name that is never fetched runs what somebody left on the node.",
        box="vulnerability-scanning",
        about=has_pods,
        severity="low",
        check=_pulled,
    ),
    StackRule(
        name="image-one-version",
        description="All that runs an image runs the same version of it.",
        why="The old one beside the new one keeps its holes, and two readers of the same data that differ corrupt it.",
        box="vulnerability-scanning",
        about=has_images,
        severity="low",
        check=_one_version,
    ),
)
