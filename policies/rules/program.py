"""What only Pulumi knows of a program: the types it registers, and the options it registers them with."""

import re
from collections.abc import Iterator

from policies.resource_types import known
from policies.rule import ProgramRule, Registered, at

_PART = re.compile(r"[^.\[\]\"']+")
# What something in the cluster owns once an object is made: the number of pods an autoscaler, a claim's size its controller.
_OWNED = {
    ("spec", "replicas"),
    ("spec", "volumeClaimTemplates", "*", "spec", "resources", "requests", "storage"),
}
_RUNS = ("command:", "pulumi-python:", "pulumi-nodejs:", "pulumi-go:", "pulumi-java:", "null:")
_UNSEEN = {
    "kubernetes:helm.sh": ("Release",),
    "kubernetes:helm.toolkit.fluxcd.io": ("HelmRelease",),
    "kubernetes:kustomize.toolkit.fluxcd.io": ("Kustomization",),
    "kubernetes:helm.cattle.io": ("HelmChart",),
    "kubernetes:argoproj.io": ("Application", "ApplicationSet"),
}
_STATEFUL = ("StatefulSet", "PersistentVolumeClaim")
_MADE = ("random:", "tls:")
_OUTPUTS = ("data", "stringData")
_WEAKER = {"deleteUnreachable": "true", "skipUpdateUnreachable": "true", "enableServerSideApply": "false"}


def _kind(registered: Registered) -> str:
    return registered.token.rpartition(":")[2]


def _is_object(registered: Registered) -> bool:
    return registered.token.startswith("kubernetes:")


def _any(_registered: Registered) -> bool:
    return True


def _classified(registered: Registered) -> Iterator[str]:
    if not known(registered.token):
        yield "token is a type that nothing judges; write its rules, and add it to policies/resource_types.py"


def _is_unseen(registered: Registered) -> bool:
    group = registered.token.partition("/")[0]
    return _kind(registered) in _UNSEEN.get(group, ())


def _unseen(_registered: Registered) -> Iterator[str]:
    yield "token makes objects that no rule sees; register the objects themselves, or a Chart, which does"


def _is_run(registered: Registered) -> bool:
    return registered.token.removeprefix("pulumi:providers:").startswith(
        (*_RUNS, *(each.rstrip(":") for each in _RUNS))
    )


def _run(_registered: Registered) -> Iterator[str]:
    yield "token runs a program on somebody's machine; make it a Job with an image, or a verb of local/"


def _ignores(registered: Registered) -> bool:
    return bool(registered.ignore_changes)


def _ignored(registered: Registered) -> Iterator[str]:
    for path in registered.ignore_changes:
        parts = tuple("*" if part.isdecimal() else part for part in _PART.findall(path))
        if not _is_object(registered) or parts not in _OWNED:
            yield "options.ignoreChanges lets what was changed by hand stay; name only what the cluster itself owns"


def _holds_data(registered: Registered) -> bool:
    if not _is_object(registered) or _kind(registered) not in _STATEFUL:
        return False
    return _kind(registered) != "StatefulSet" or bool(at(registered.properties, "spec.volumeClaimTemplates", []))


def _protected(registered: Registered) -> Iterator[str]:
    if not registered.protect:
        yield "options.protect is not set, and a rename deletes it; set protect"


def _encrypts(registered: Registered) -> bool:
    return registered.token.startswith(_MADE) and "encryption" in registered.name


def _key_protected(registered: Registered) -> Iterator[str]:
    if not registered.protect:
        yield "options.protect is not set, and with the key goes what it encrypts; set protect"


def _in_order(registered: Registered) -> Iterator[str]:
    if registered.delete_before_replace:
        yield "options.deleteBeforeReplace takes it away before its successor is there; remove it"


def _is_provider(registered: Registered) -> bool:
    return registered.token.startswith("pulumi:providers:")


def _one_cluster(registered: Registered) -> Iterator[str]:
    given = registered.properties
    for key in given:
        if re.search("insecure|skip.*verif", key, re.IGNORECASE) and _said(given, key) != "false":
            yield f"properties.{key} talks to whoever answers; remove it"
    if not registered.token.endswith(":kubernetes"):
        return
    if registered.name.startswith("default"):
        yield "name is of the provider that takes whatever cluster is current; give resources one with a context"
    # The SDK sets it to where the environment says that the file is; the file itself is a credential.
    if re.search(r"[\n{]", at(given, "kubeconfig", "")):
        yield "properties.kubeconfig is a credential in the program; remove it, and name a context"
    if at(given, "renderYamlToDirectory"):
        yield "properties.renderYamlToDirectory is no cluster; remove it, and run render"
    for key, weak in _WEAKER.items():
        if _said(given, key) == weak:
            yield f"properties.{key} lets the state differ from the cluster; remove it"


def _said(given: dict[str, object], key: str) -> str:
    return str(at(given, key, "")).lower()


def _is_secret(registered: Registered) -> bool:
    return _is_object(registered) and _kind(registered) in ("Secret", "SecretPatch")


def _outputs(registered: Registered) -> Iterator[str]:
    for output in _OUTPUTS:
        if output not in registered.additional_secret_outputs:
            yield f"options.additionalSecretOutputs lacks {output}, and the state has it in plain text; use core.v1.Secret"


PROGRAM_RULES = (
    ProgramRule(
        name="program-known-types",
        description="Every resource is of a type for which somebody decided what has to hold.",
        why="A new kind of object, or another provider, would pass every rule because none is about it.",
        box="compliance-reporting",
        severity="medium",
        about=_any,
        check=_classified,
    ),
    ProgramRule(
        name="program-no-unseen-objects",
        description="Nothing is registered that makes objects of which the engine never hears.",
        why="What a Helm release or a GitOps controller installs is judged by no rule, privileged pods among it.",
        box="compliance-reporting",
        severity="high",
        about=_is_unseen,
        check=_unseen,
    ),
    ProgramRule(
        name="program-no-commands",
        description="A run executes nothing on the machine it is started from, or by a shell elsewhere.",
        why="Who changes one line of the program runs it with the credentials of whoever previews the change.",
        box="compliance-reporting",
        severity="high",
        about=_is_run,
        check=_run,
    ),
    ProgramRule(
        name="program-ignores-no-changes",
        description="Only what the cluster itself owns may differ from the program.",
        why="An ignored path keeps what somebody changed by hand, as a policy opened for a moment, and no run ever closes it.",
        box="compliance-reporting",
        severity="high",
        about=_ignores,
        check=_ignored,
    ),
    ProgramRule(
        name="program-protects-data",
        description="What holds data is protected from being deleted or replaced.",
        why="A renamed component, or destroy in the wrong terminal, deletes the database.",
        box="database-security",
        severity="high",
        about=_holds_data,
        check=_protected,
    ),
    ProgramRule(
        name="program-protects-keys",
        description="A key that data is encrypted with is protected from being deleted or replaced.",
        why="A renamed component has another key, and no backup that was made before can be read.",
        box="key-management",
        severity="high",
        about=_encrypts,
        check=_key_protected,
    ),
    ProgramRule(
        name="program-replaces-in-order",
        description="Nothing in the cluster is deleted before its successor is there.",
        why="If the successor then cannot be made, what it replaces is gone: the edge, or the database.",
        box="recovery",
        severity="high",
        about=_is_object,
        check=_in_order,
    ),
    ProgramRule(
        name="program-one-cluster",
        description="Objects go to the one cluster that is named, whose certificate is verified, and are what the state says.",
        why="A run with another context current installs the platform in a stranger's cluster; one that verifies nothing gives it the secrets.",
        box="key-management",
        severity="high",
        about=_is_provider,
        check=_one_cluster,
    ),
    ProgramRule(
        name="program-secret-outputs",
        description="The contents of a Secret are encrypted in the state.",
        why="Made as a custom resource, or by a patch, a Secret lies in plain text in every copy of the state.",
        box="key-management",
        severity="high",
        about=_is_secret,
        check=_outputs,
    ),
)
