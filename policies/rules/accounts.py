"""Accounts: each workload has its own, and a token of it only where it has rights."""

from collections.abc import Iterator, Sequence
from typing import Any

from policies.containers import has_pods, pods
from policies.permissions import Permissions, Subject, account_name, accounts, user_of, users
from policies.rule import Manifest, Rule, StackRule, at, kinds

_LONGEST = 3600
_NAME = "app.kubernetes.io/name"
_API_SERVER = "https://kubernetes.default"
_TOKEN_TYPE = "kubernetes.io/service-account-token"  # noqa: S105 - the name of a type


def _named(manifest: Manifest) -> Iterator[str]:
    for path, pod in pods(manifest):
        if account_name(pod) == "default":
            yield f"{path}.serviceAccountName is the namespace's default; name an account of its own".lstrip(".")


def _tokens(manifest: Manifest) -> Iterator[tuple[str, Any]]:
    """Yield each token that a pod of an object has projected into a volume."""
    for path, pod in pods(manifest):
        for index, volume in enumerate(at(pod, "volumes", [])):
            for source, each in enumerate(at(volume, "projected.sources", [])):
                if at(each, "serviceAccountToken") is not None:
                    yield f"{path}.volumes[{index}].projected.sources[{source}]", at(each, "serviceAccountToken")


def _short(manifest: Manifest) -> Iterator[str]:
    for path, token in _tokens(manifest):
        if not at(token, "audience"):
            yield f"{path} is a token for anyone who asks; set serviceAccountToken.audience"
        if at(token, "expirationSeconds", _LONGEST) > _LONGEST:
            yield f"{path} is valid for longer than an hour; set serviceAccountToken.expirationSeconds: {_LONGEST}"


def _off(manifest: Manifest) -> Iterator[str]:
    if at(manifest, "automountServiceAccountToken") is not False:
        yield "automountServiceAccountToken gives every pod a token; set it to false here, and to true in pods that need it"


def _no_token_secrets(manifest: Manifest) -> Iterator[str]:
    if at(manifest, "type") == _TOKEN_TYPE:
        yield "type makes it an account's token for ever; project a token into the pod that needs one"


def _own(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    there, using = accounts(manifests), dict[Subject, list[Manifest]]()
    for manifest in manifests:
        for user in sorted(users(manifest)):
            using.setdefault(user, []).append(manifest)
            if user not in there:
                yield manifest, "serviceAccountName is of an account that is not in the stack; add it"
    for shared in using.values():
        for manifest in shared[1:]:
            if _workload(manifest) != _workload(shared[0]):
                yield manifest, "serviceAccountName is another workload's account; give it its own"


def _workload(manifest: Manifest) -> str:
    """Return which workload an object is of: what makes its backups is another object of the same."""
    labelled = at(manifest, "metadata.labels", {}).get(_NAME)
    return str(at(manifest, "metadata.name")) if labelled is None else str(labelled)


def _needed(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    there, bound = accounts(manifests), set(Permissions(manifests).named_subjects())
    for manifest in manifests:
        for path, pod in pods(manifest):
            user = user_of(manifest, pod)
            default = at(there.get(user), "automountServiceAccountToken", default=True)
            mounted = at(pod, "automountServiceAccountToken", default) is not False
            if user not in bound and (mounted or any(_for_api(token) for _path, token in _tokens(manifest))):
                fix = "set automountServiceAccountToken: false, and project no token"
                yield manifest, f"{path} has a token of an account without rights; {fix}"


def _for_api(token: Any) -> bool:
    return str(at(token, "audience", _API_SERVER)).startswith(_API_SERVER)


ACCOUNT_RULES = (
    Rule(
        name="account-named",
        description="Pods name the account they run as.",
        why="The default account is every pod's that names none: what one of them is granted, all have.",
        box="authentication",
        controls=("cis:5.1.5",),
        about=has_pods,
        severity="high",
        check=_named,
    ),
    StackRule(
        name="account-of-one-workload",
        description="Each workload has an account of its own, which is there.",
        why="Workloads that share an account share its rights, and no log tells which of them used them.",
        box="authentication",
        controls=("cis:5.1.5", "kubescape:C-0307"),
        about=has_pods,
        severity="high",
        check=_own,
    ),
    Rule(
        name="account-token-off",
        description="Accounts give no token to a pod that does not ask for one.",
        why="A token nobody needs is one more that a read of any file gives away.",
        box="authentication",
        controls=(
            "cis:5.1.6",
            "nsa:C-0034",
            "kubescape:C-0053",
            "kubescape:C-0261",
            "checkov:CKV_K8S_41",
            "trivy:KSV-0036",
        ),
        about=kinds("ServiceAccount"),
        severity="high",
        check=_off,
    ),
    StackRule(
        name="account-token-needed",
        description="Pods have a token of the API server's only where their account has rights.",
        why="Even without rights of its own it is a way past whoever lets in what is authenticated.",
        box="authentication",
        controls=("cis:5.1.6", "nsa:C-0034", "checkov:CKV_K8S_38", "trivy:KSV-0036"),
        about=has_pods,
        severity="high",
        check=_needed,
    ),
    Rule(
        name="account-token-short",
        description="Tokens in volumes are for one audience, and valid for an hour at most.",
        why="Whoever is shown a token without an audience can show it to the API server; a stolen one lasts as long as it says.",
        box="authentication",
        about=lambda manifest: any(True for _token in _tokens(manifest)),
        severity="high",
        check=_short,
    ),
    Rule(
        name="account-no-token-secrets",
        description="No Secret holds an account's token.",
        why="Such a token never expires, and whoever reads Secrets is then the account.",
        box="authentication",
        about=kinds("Secret"),
        severity="high",
        check=_no_token_secrets,
    ),
)
