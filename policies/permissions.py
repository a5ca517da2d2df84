"""Who may do what: the rules that each subject holds through the bindings of a stack, as the API server adds them up."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple, cast

from policies.builtin_roles import BUILT_IN
from policies.containers import POD_PATHS, pods
from policies.judge import reference
from policies.powers import RBAC, Power, held
from policies.rule import Manifest, at, namespace_of
from policies.selectors import matcher

ROLES = ("Role", "ClusterRole")
BINDINGS = ("RoleBinding", "ClusterRoleBinding")


class Subject(NamedTuple):
    """Whom a binding names; only an account has a namespace."""

    kind: str
    name: str
    namespace: str = ""

    def __str__(self) -> str:
        """Return how a person names it: `ServiceAccount app/api`, `Group admins`."""
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True, eq=False)
class Grant:
    """One rule of a role, where it holds (None: everywhere), and what gave it."""

    rule: Manifest
    role: str
    namespace: str | None
    binding: Manifest

    def holds_in(self, namespace: str | None) -> bool:
        """Return whether it holds in a namespace, or, for None, for what is in no namespace."""
        return self.namespace is None or self.namespace == namespace


def of_rbac(manifest: Manifest, *kinds: str) -> bool:
    """Return whether an object is of one of some kinds of role-based access control, not of another API's kind of the name."""
    return at(manifest, "kind") in kinds and str(at(manifest, "apiVersion", f"{RBAC}/v1")).startswith(f"{RBAC}/")


def account(namespace: str, name: str) -> Subject:
    """Return the subject that a ServiceAccount is."""
    return Subject("ServiceAccount", name, namespace)


def accounts(manifests: Sequence[Manifest]) -> dict[Subject, Manifest]:
    """Return the accounts that are in a stack, each with its object."""
    made = [each for each in manifests if at(each, "kind") == "ServiceAccount"]
    return {account(namespace_of(each), str(at(each, "metadata.name"))): each for each in made}


def subjects(binding: Manifest) -> Iterator[Subject]:
    """Yield whom a binding gives its role; an account without a namespace is of the binding's own."""
    for given in at(binding, "subjects", []):
        kind, name = str(at(given, "kind")), str(at(given, "name"))
        own = str(at(given, "namespace", namespace_of(binding))) if kind == "ServiceAccount" else ""
        yield Subject(kind, name, own)


def account_name(pod: Manifest) -> str:
    """Return the name of the account that a pod runs as."""
    return str(at(pod, "serviceAccountName") or at(pod, "serviceAccount") or "default")


def user_of(manifest: Manifest, pod: Manifest) -> Subject:
    """Return the account that a pod of an object runs as."""
    return account(namespace_of(manifest), account_name(pod))


def users(manifest: Manifest) -> set[Subject]:
    """Return the accounts that the pods of an object run as; what makes pods of a kind not known here names an account."""
    found = {user_of(manifest, pod) for _path, pod in pods(manifest)}
    if at(manifest, "kind", "") not in (*POD_PATHS, "CustomResourceDefinition"):
        found |= {account(namespace_of(manifest), name) for name in _named(manifest)}
    return found


def _named(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in cast("Manifest", value).items():
            if key == "serviceAccountName":
                yield str(inner)
            yield from _named(inner)
    elif isinstance(value, list):
        for inner in cast("list[Any]", value):
            yield from _named(inner)


def role_key(binding: Manifest) -> Subject:
    """Return which role a binding gives."""
    kind, name = str(at(binding, "roleRef.kind")), str(at(binding, "roleRef.name"))
    return Subject(kind, name, namespace_of(binding) if kind == "Role" else "")


class Permissions:
    """The rights that the roles and bindings of a stack give, with what the API server's own roles hold.

    A role that gathers others holds their rules, and what it says itself, which lasts until the controller writes over it.
    """

    def __init__(self, manifests: Sequence[Manifest]) -> None:
        self.bindings = [each for each in manifests if of_rbac(each, *BINDINGS)]
        self.own_roles = {_key(each): each for each in manifests if of_rbac(each, *ROLES)}
        self.roles = {_key(role): role for role in BUILT_IN} | self.own_roles
        self._held: dict[Subject, list[Grant]] = {}
        for binding in self.bindings:
            for subject in subjects(binding):
                self._held.setdefault(subject, []).extend(self._given(binding))

    def grants(self, subject: Subject) -> list[Grant]:
        """Return all that a subject holds, by the groups it is in too."""
        return [grant for each in _memberships(subject) for grant in self._held.get(each, [])]

    def named_subjects(self) -> list[Subject]:
        """Return every subject of any binding."""
        return list(self._held)

    def having(self, powers: Sequence[Power], *, unless_named: bool = False) -> Iterator[tuple[Subject, Grant, str]]:
        """Yield each subject of a binding with each grant that has one of some powers, and the first of them: `create pods`."""
        for subject, grants in self._held.items():
            for grant in grants:
                for verb, _group, resource in islice(held(grant.rule, powers, unless_named=unless_named), 1):
                    yield subject, grant, f"{verb} {resource}"

    def rules(self, key: Subject) -> Iterator[Manifest]:
        """Yield the rules of a role, and of all that it gathers; none if there is no such role."""
        for each in sorted(self._gathered(key, set())):
            yield from at(self.roles[each], "rules", [])

    def _given(self, binding: Manifest) -> Iterator[Grant]:
        key = role_key(binding)
        everywhere = at(binding, "kind") == "ClusterRoleBinding"
        if key in self.roles:
            for rule in self.rules(key):
                role = reference(self.roles[key])
                yield Grant(rule, role, None if everywhere else namespace_of(binding), binding)

    def _gathered(self, key: Subject, seen: set[Subject]) -> set[Subject]:
        if key in self.roles and key not in seen:
            seen.add(key)
            for selector in at(self.roles[key], "aggregationRule.clusterRoleSelectors", []):
                selects = matcher(selector)
                for other, role in self.roles.items():
                    if other.kind == "ClusterRole" and selects(at(role, "metadata.labels", {})):
                        self._gathered(other, seen)
        return seen


def _key(role: Manifest) -> Subject:
    kind = str(at(role, "kind"))
    return Subject(kind, str(at(role, "metadata.name")), namespace_of(role) if kind == "Role" else "")


def _memberships(subject: Subject) -> list[Subject]:
    """Return the names by which the API server knows a subject: an account is a user with a long name too, and in three groups."""
    names = [subject]
    if subject.kind == "ServiceAccount":
        names.append(Subject("User", f"system:serviceaccount:{subject.namespace}:{subject.name}"))
        names.append(Subject("Group", "system:serviceaccounts"))
        names.append(Subject("Group", f"system:serviceaccounts:{subject.namespace}"))
    return [*names, Subject("Group", "system:authenticated")]
