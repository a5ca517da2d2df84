"""Roles and who is bound to them: each is written out in full, is there, is used, and is given to accounts by name."""

from collections.abc import Iterator, Sequence
from typing import Any

from policies.permissions import BINDINGS, ROLES, Permissions, accounts, of_rbac, role_key, subjects, users
from policies.powers import RBAC, ROLE_RESOURCES
from policies.rule import Admission, Manifest, Rule, StackRule, at

_FIELDS = ("verbs", "apiGroups", "resources", "nonResourceURLs")
_BROAD = ("cluster-admin", "admin", "edit")
# Of the API server's own roles, those that let who has them ask who someone is, or whether it is well.
_HARMLESS = ("system:auth-delegator", "system:discovery", "system:monitoring")

_BINDING_RESOURCES = (f"{RBAC}/rolebindings", f"{RBAC}/clusterrolebindings")
_BINDING_PARTS = ("roleRef", "subjects")


def _is_role(manifest: Manifest) -> bool:
    return of_rbac(manifest, *ROLES)


def _is_binding(manifest: Manifest) -> bool:
    return of_rbac(manifest, *BINDINGS)


def _is_either(manifest: Manifest) -> bool:
    return of_rbac(manifest, *ROLES, *BINDINGS)


def _rules(role: Manifest) -> Iterator[tuple[str, Any]]:
    for index, rule in enumerate(at(role, "rules", [])):
        yield f"rules[{index}]", rule


def _no_wildcards(role: Manifest) -> Iterator[str]:
    for path, rule in _rules(role):
        for field in _FIELDS:
            if any("*" in each for each in at(rule, field, [])):
                yield f"{path}.{field} has a wildcard; name each of those that are needed"


def _plain(role: Manifest) -> Iterator[str]:
    for path, rule in _rules(role):
        words = [str(each) for field in ("verbs", "resources") for each in at(rule, field, [])]
        if any(word != word.lower().strip() for word in words):
            yield f"{path} has a word that the API server does not know; write verbs and resources in lower case"
        unnamed = any(each in ("create", "deletecollection") for each in at(rule, "verbs", []))
        whole = any("/" not in each for each in at(rule, "resources", []))
        if unnamed and whole and at(rule, "resourceNames", []):
            yield f"{path}.resourceNames limits no creation; grant create in a rule without names"


def _no_aggregation(role: Manifest) -> Iterator[str]:
    if any(key.startswith(f"{RBAC}/aggregate-to-") for key in at(role, "metadata.labels", {})):
        yield "metadata.labels adds these rules to another role, even the API server's own; remove aggregate-to-*"
    if at(role, "aggregationRule") is not None:
        yield "aggregationRule takes in whatever anyone labels; write the rules out"


def _narrow(binding: Manifest) -> Iterator[str]:
    name = str(at(binding, "roleRef.name"))
    broad = name in _BROAD or (name.startswith("system:") and name not in _HARMLESS)
    if broad and at(binding, "roleRef.kind") != "Role":
        yield "roleRef is a role of the API server's that can do almost anything; bind one that holds what is needed"


def _no_groups(binding: Manifest) -> Iterator[str]:
    for index, subject in enumerate(at(binding, "subjects", [])):
        name = str(at(subject, "name"))
        if name.startswith("system:") or (name == "default" and at(subject, "kind") == "ServiceAccount"):
            yield f"subjects[{index}] is whoever comes, or has no account of its own; name a ServiceAccount"


def _references(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    permissions = Permissions(manifests)
    there = accounts(manifests)
    for binding in permissions.bindings:
        if role_key(binding) not in permissions.roles:
            yield binding, "roleRef is of a role that is not in the stack; add it, or remove the binding"
        for index, subject in enumerate(subjects(binding)):
            if subject.kind == "ServiceAccount" and subject not in there:
                yield binding, f"subjects[{index}] is not in the stack; add it, or remove it from the binding"


def _used(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    permissions = Permissions(manifests)
    bound = {role_key(binding) for binding in permissions.bindings}
    for key, role in permissions.own_roles.items():
        if key not in bound:
            yield role, "metadata.name is in no binding; remove the role"
    working = {user for manifest in manifests for user in users(manifest)}
    for binding in permissions.bindings:
        for index, subject in enumerate(subjects(binding)):
            if subject.kind == "ServiceAccount" and subject not in working:
                yield binding, f"subjects[{index}] is an account that no pod runs as; remove its rights"


ROLE_RULES = (
    Rule(
        name="role-no-wildcards",
        description="Roles name each verb, resource, API group and path.",
        why="A wildcard grants what nobody thought of, and what a later version adds.",
        box="authorization",
        controls=(
            "cis:5.1.3",
            "kubescape:C-0187",
            "checkov:CKV_K8S_49",
            "trivy:KSV-0044",
            "trivy:KSV-0045",
            "trivy:KSV-0046",
            "trivy:KSV-0112",
        ),
        about=_is_role,
        severity="high",
        check=_no_wildcards,
        admission=Admission(
            resources=ROLE_RESOURCES,
            parts=("rules",),
            expressions=tuple(
                f"object.?rules.orValue([]).all(rule, rule.?{field}.orValue([]).all(word, !word.contains('*')))"
                for field in _FIELDS
            ),
        ),
    ),
    Rule(
        name="role-plainly-written",
        description="Roles mean what they say: verbs as the API server knows them, names where names limit.",
        why="GET is no verb, and a name limits no creation: who reads such a role believes what is not so.",
        box="authorization",
        about=_is_role,
        severity="medium",
        check=_plain,
    ),
    Rule(
        name="role-no-aggregation",
        description="Roles neither gather others' rules nor add theirs to the API server's roles.",
        why="A label then gives rights: to every user of admin, edit or view, or from any role that anyone labels.",
        box="authorization",
        about=lambda manifest: of_rbac(manifest, "ClusterRole"),
        severity="high",
        check=_no_aggregation,
    ),
    Rule(
        name="role-binding-narrow",
        description="Nobody is bound to cluster-admin, admin, edit, or a role of the control plane's.",
        why="Whoever takes over a pod with such a role has the namespace, or the cluster, in one request.",
        box="authorization",
        controls=("cis:5.1.1", "nsa:C-0035", "kubescape:C-0272", "trivy:KSV-0111"),
        about=_is_binding,
        severity="critical",
        check=_narrow,
        admission=Admission(
            resources=_BINDING_RESOURCES,
            parts=_BINDING_PARTS,
            expressions=(
                f"""object.roleRef.kind == 'Role' || !(object.roleRef.name in {[*_BROAD]} ||
                    object.roleRef.name.startsWith('system:') && !(object.roleRef.name in {[*_HARMLESS]}))""",
            ),
        ),
    ),
    Rule(
        name="role-binding-no-system-groups",
        description="Rights are given to accounts by name, not to groups of the API server's or to a default account.",
        why="Anonymous callers, or every pod that there is and will be, have them then.",
        box="authentication",
        controls=(
            "cis:5.1.5",
            "cis:5.1.7",
            "kubescape:C-0262",
            "kubescape:C-0265",
            "checkov:CKV_K8S_42",
            "trivy:KSV-01011",
            "trivy:KSV-0122",
            "trivy:KSV-0123",
        ),
        about=_is_binding,
        severity="critical",
        check=_no_groups,
        admission=Admission(
            resources=_BINDING_RESOURCES,
            parts=_BINDING_PARTS,
            expressions=(
                """object.?subjects.orValue([]).all(each, !each.name.startsWith('system:') &&
                    !(each.name == 'default' && each.kind == 'ServiceAccount'))""",
            ),
        ),
    ),
    StackRule(
        name="role-references-exist",
        description="Bindings are of roles and accounts that are there.",
        why="Whoever may make the missing one decides what the binding gives, or to whom.",
        box="authorization",
        about=_is_binding,
        severity="medium",
        check=_references,
    ),
    StackRule(
        name="role-used",
        description="Each role is bound, and each account that is bound is one that a pod runs as.",
        why="Rights that nothing uses are missed by nobody, except by who finds a way to them.",
        box="authorization",
        about=_is_either,
        severity="medium",
        check=_used,
    ),
)
