"""Certificates: short-lived, strong, and of an issuer that is somebody."""

from collections.abc import Iterator, Sequence

from policies.durations import seconds
from policies.rule import Manifest, Rule, StackRule, at

_GROUP = "cert-manager.io/"
_DAYS = 86400
_LEAF, _AUTHORITY = 100 * _DAYS, 3650 * _DAYS
_DEFAULT = "2160h"
_THIRD = 33  # percent
_SMALLEST = {"RSA": 3072, "ECDSA": 256, "Ed25519": 0}
_ISSUING = ("ca", "acme", "vault", "venafi")


def _certificate(manifest: Manifest) -> bool:
    return at(manifest, "kind") == "Certificate" and str(at(manifest, "apiVersion", "")).startswith(_GROUP)


def _short_lived(manifest: Manifest) -> Iterator[str]:
    lifetime = seconds(at(manifest, "spec.duration", _DEFAULT))
    most, days = (_AUTHORITY, "3650") if at(manifest, "spec.isCA", default=False) else (_LEAF, "100")
    if lifetime > most:
        yield f"spec.duration is more than {days} days; shorten it, it is renewed by itself"
    # Without either it is renewed when a third of its life is left.
    before, share = at(manifest, "spec.renewBefore"), at(manifest, "spec.renewBeforePercentage", _THIRD)
    if most == _LEAF and before is not None and seconds(before) * 3 < lifetime:
        yield "spec.renewBefore leaves less than a third of its life for a renewal that fails; raise it"
    if most == _LEAF and before is None and share < _THIRD:
        yield f"spec.renewBeforePercentage leaves less than a third of its life for a renewal that fails; set {_THIRD}"
    if at(manifest, "spec.renewal.policy") == "Disabled":
        yield "spec.renewal.policy lets it run out; take it away"


def _strong(manifest: Manifest) -> Iterator[str]:
    algorithm = at(manifest, "spec.privateKey.algorithm", "RSA")
    size = at(manifest, "spec.privateKey.size", {"RSA": 2048, "ECDSA": 256}.get(algorithm, 0))
    if algorithm not in _SMALLEST or size < _SMALLEST[algorithm]:
        yield "spec.privateKey can be broken within its data's life; set algorithm: ECDSA and size: 256, or RSA and 3072"
    leaf = not at(manifest, "spec.isCA", default=False)
    if leaf and at(manifest, "spec.privateKey.rotationPolicy") != "Always":
        yield "spec.privateKey.rotationPolicy keeps the key for ever; set it to Always"


def _issued(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    for manifest in manifests:
        if not _certificate(manifest) or at(manifest, "spec.isCA", default=False):
            continue
        issuer = _issuer(manifest, manifests)
        if issuer is None:
            yield manifest, "spec.issuerRef is of no issuer of the stack; name one that it creates"
        elif not any(at(issuer, f"spec.{sort}") for sort in _ISSUING):
            yield manifest, "spec.issuerRef is of an issuer that anybody can be; name one with an authority behind it"
        elif (authority := at(issuer, "spec.ca.secretName")) and not _held(authority, manifests):
            yield (
                manifest,
                "spec.issuerRef is of an authority that nothing here makes; create its Certificate with isCA",
            )


def _issuer(manifest: Manifest, manifests: Sequence[Manifest]) -> Manifest | None:
    kind, name = at(manifest, "spec.issuerRef.kind", "Issuer"), at(manifest, "spec.issuerRef.name")
    for each in manifests:
        if at(each, "kind") == kind and at(each, "metadata.name") == name:
            here = at(each, "metadata.namespace") == at(manifest, "metadata.namespace")
            if kind == "ClusterIssuer" or here:
                return each
    return None


def _held(secret: str, manifests: Sequence[Manifest]) -> bool:
    return any(
        (_certificate(each) and at(each, "spec.isCA") is True and at(each, "spec.secretName") == secret)
        or (at(each, "kind") == "Secret" and at(each, "metadata.name") == secret)
        for each in manifests
    )


CERTIFICATE_RULES = (
    Rule(
        name="certificate-short-lived",
        description="A certificate lives for at most 100 days, and a third of that is left when it is renewed; an authority for ten years.",
        why="A stolen key is good for as long as its certificate is, and one renewed at the last moment fails at the last moment.",
        box="encryption-service",
        severity="high",
        about=_certificate,
        check=_short_lived,
    ),
    Rule(
        name="certificate-strong",
        description="A certificate has a key of 128 bits of strength, and another one after each renewal.",
        why="What is recorded today is read as soon as the key can be computed, or is found in an old copy.",
        box="encryption-service",
        severity="high",
        about=_certificate,
        check=_strong,
    ),
    StackRule(
        name="certificate-issued",
        description="A certificate is issued by an authority of the stack, or by a public one.",
        why="One that signs itself proves nothing: clients that accept it accept whoever stands between.",
        box="encryption-service",
        severity="high",
        about=_certificate,
        check=_issued,
    ),
)
