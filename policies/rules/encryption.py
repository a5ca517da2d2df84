"""Encryption of what is on the way and of what is stored: connections that clients verify, volumes on encrypted disks."""

from collections.abc import Iterator, Mapping, Sequence

from policies.clients import clients, environment, keeps_data, prefix_of, servers, verified
from policies.containers import containers, pods
from policies.recovery import claims_of_sets
from policies.rule import Manifest, Rule, StackRule, at

# What a driver is told for an encrypted disk; None where all its disks are.
_ENCRYPTED: Mapping[str, tuple[str, ...] | None] = {
    "ebs.csi.aws.com": ("encrypted",),
    "efs.csi.aws.com": None,
    "pd.csi.storage.gke.io": None,
    "disk.csi.azure.com": None,
    "rook-ceph.rbd.csi.ceph.com": ("encrypted",),
    "rbd.csi.ceph.com": ("encrypted",),
    "driver.longhorn.io": ("encrypted",),
    "dobs.csi.digitalocean.com": None,
    "linodebs.csi.linode.com": ("linodebs.csi.linode.com/luks-encrypted",),
}

# Their volumes are directories of a node: whether its disk is encrypted, no object tells.
_NODES_OWN = ("hostpath.csi.platform", "hostpath.csi.k8s.io", "rancher.io/local-path", "k8s.io/minikube-hostpath")


def _verified(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    found = servers(manifests)
    for manifest in manifests:
        for client in clients(manifest, found):
            if not client.verifies:
                yield manifest, f"{client.path} connects to {client.server.name} without verifying it; {client.fix}"


def _encrypted(manifest: Manifest) -> Iterator[str]:
    driver = at(manifest, "provisioner")
    told = at(manifest, "parameters", {})
    wanted = _ENCRYPTED.get(driver, ("encrypted",))
    if driver not in _ENCRYPTED:
        yield "provisioner is of a driver whose encryption is not known here; add it to the rule, with what proves it"
    elif wanted and not any(str(told.get(key)).lower() == "true" for key in wanted):
        yield f"parameters ask for no encryption; set {wanted[0]} to true"


def _on_a_networks_disk(manifest: Manifest) -> bool:
    return at(manifest, "kind") == "StorageClass" and at(manifest, "provisioner") not in _NODES_OWN


def _claims(manifest: Manifest) -> Iterator[tuple[str, Manifest]]:
    if at(manifest, "kind") == "PersistentVolumeClaim":
        yield "spec", at(manifest, "spec", {})
    if at(manifest, "kind") == "StatefulSet":
        for index, claim in enumerate(at(manifest, "spec.volumeClaimTemplates", [])):
            yield f"spec.volumeClaimTemplates[{index}].spec", at(claim, "spec", {})
    for path, pod in pods(manifest):
        for index, volume in enumerate(at(pod, "volumes", [])):
            if claim := at(volume, "ephemeral.volumeClaimTemplate.spec"):
                yield f"{path}.volumes[{index}].ephemeral.volumeClaimTemplate.spec", claim


def _claiming(manifest: Manifest) -> bool:
    return any(True for _claim in _claims(manifest))


def _classed(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    classes = [at(manifest, "metadata.name") for manifest in manifests if at(manifest, "kind") == "StorageClass"]
    of_sets = claims_of_sets(manifests)
    for manifest in manifests:
        for path, claim in _claims(manifest):
            named = at(claim, "storageClassName")
            if named is None and of_sets(manifest):
                continue
            if named not in classes:
                yield manifest, f"{path}.storageClassName is of no class of the stack; name one whose disks are known"


def _stores(manifest: Manifest) -> Iterator[tuple[str, bool]]:
    """Yield each variable with the address of an object store, and whether the store is verified."""
    for container in containers(manifest):
        variables = environment(container.spec)
        for name, value in variables.items():
            if name.endswith("_ENDPOINT") and any(
                f"{prefix_of(name)}_{part}" in variables for part in ("BUCKET", "REGION")
            ):
                authority = variables.get(f"{prefix_of(name)}_CA_FILE", "")
                outside = authority.startswith("/etc/ssl/") and not value.startswith("http://")
                yield f"{container.path}.env.{name}", outside or verified(container, manifest, prefix_of(name), value)


def _stored(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    for manifest in manifests:
        for path, safe in _stores(manifest):
            if not safe:
                yield manifest, f"{path} is of a store that is not verified; set its CA_FILE, and an endpoint of https"


def _uses_a_store(manifest: Manifest) -> bool:
    return any(True for _store in _stores(manifest))


ENCRYPTION_RULES = (
    StackRule(
        name="encryption-database-clients",
        description="Who connects to a database, a queue, a cache or an object store of the stack verifies its certificate.",
        why="Whoever can send packets in the cluster can answer in the server's place, and is given passwords and data.",
        box="encryption-service",
        severity="high",
        about=keeps_data,
        check=_verified,
    ),
    StackRule(
        name="encryption-object-store",
        description="Who reads or writes objects, in the cluster or outside, does it over TLS and verifies the store.",
        why="Backups and files cross networks that are not ours, and the key that signs a request is worth all of them.",
        box="encryption-service",
        severity="medium",
        about=_uses_a_store,
        check=_stored,
    ),
    Rule(
        name="encryption-volume-classes",
        description="A class of volumes on a network's disks asks for encrypted ones. A node's own disk is below what an object can tell.",
        why="A disk that is thrown away, or copied by whoever runs the storage, is read without a password.",
        box="encryption-service",
        severity="high",
        controls=("kubescape:C-0264",),
        about=_on_a_networks_disk,
        check=_encrypted,
    ),
    StackRule(
        name="encryption-volume-claims",
        description="A volume is of a class of the stack.",
        why="The cluster's default is whatever its owner made it last: encrypted or not, kept or not, nobody here decides.",
        box="encryption-service",
        severity="medium",
        controls=("kubescape:C-0264",),
        about=_claiming,
        check=_classed,
    ),
)
