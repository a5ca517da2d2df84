"""What whoever has an account's rights can make of them, step by step: which other accounts it can be, and whether the cluster is its."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from policies import powers
from policies.containers import POD_PATHS
from policies.permissions import Grant, Permissions, Subject, accounts, users
from policies.powers import RBAC, Power, held, named, power
from policies.rule import Manifest, at

_ALL = "master of"
CLUSTER = Subject(_ALL, "the cluster")
SYSTEM = "kube-system"  # its accounts and pods are of no stack: whoever has one has the cluster
_SAFE = ("baseline", "restricted")
_EVERYTHING: Manifest = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
_ENFORCED = "pod-security.kubernetes.io/enforce"

# Each is of objects in no namespace, or in all: it gives the cluster at once, whichever objects it is limited to.
_AT_ONCE = (
    *powers.CHANGES_ADMISSION,
    *powers.MAKES_VOLUMES,  # one of a node's own directories
    *powers.APPROVES[:1],
    power("get create", "", "nodes/proxy"),
    power("escalate", RBAC, "clusterroles"),
)
_IN_ALL = (*powers.READS_SECRETS, *powers.IMPERSONATES_ANYONE)  # the same, where it is not limited


class Step(NamedTuple):
    """One thing that a holder of rights may do, by which role, and whose rights it then has."""

    may: str
    by: str
    then: Subject


class Takeover:
    """The steps from each account's rights to others', for all objects of a stack.

    It errs to one side: where it cannot see what is in a namespace that is of no stack, the worst is there.
    """

    def __init__(self, manifests: Sequence[Manifest]) -> None:
        self.permissions = Permissions(manifests)
        self.used = dict[Subject, list[str]]()
        self.enforced = dict[str, bool]()
        for manifest in manifests:
            if at(manifest, "kind") == "Namespace":
                labels = at(manifest, "metadata.labels", {})
                self.enforced[str(at(manifest, "metadata.name"))] = labels.get(_ENFORCED) in _SAFE
            for user in users(manifest):
                self.used.setdefault(user, []).append(_name(manifest))
        bound = {each for each in self.permissions.named_subjects() if each.kind == "ServiceAccount"}
        self.accounts = sorted({*accounts(manifests), *bound, *self.used})
        self._steps = dict[Subject, list[Step]]()

    def chain(self, start: Subject) -> list[Step]:
        """Return the shortest way from an account's rights to the whole cluster, none if there is no way."""
        ways: dict[Subject, list[Step]] = {start: []}
        waiting = [start]
        for holder in waiting:  # which grows
            for step in self.steps(holder):
                if step.then not in ways:
                    ways[step.then] = [*ways[holder], step]
                    waiting.append(step.then)
        return ways.get(CLUSTER, [])

    def steps(self, holder: Subject) -> list[Step]:
        """Return what a holder of rights may become at once."""
        if holder not in self._steps:
            self._steps[holder] = list(self._from(self._grants(holder)))
        return self._steps[holder]

    def _grants(self, holder: Subject) -> Sequence[Grant]:
        if holder == CLUSTER:
            return []
        if holder.kind == _ALL:
            return [Grant(_EVERYTHING, str(holder), holder.name, {})]
        if holder.kind in ("Role", "ClusterRole"):
            key = holder if holder.kind == "Role" else holder._replace(namespace="")
            place = holder.namespace or None
            return [Grant(rule, str(key), place, {}) for rule in self.permissions.rules(key)]
        return self.permissions.grants(holder)

    def _from(self, grants: Sequence[Grant]) -> Iterator[Step]:
        everywhere = [grant for grant in grants if grant.namespace is None]
        yield from (_step(grant, each, "", CLUSTER) for grant, each in _having(everywhere, _AT_ONCE))
        yield from (_step(grant, each, "", CLUSTER) for grant, each in _having(everywhere, _IN_ALL, unless_named=True))
        for grant, each in _having(everywhere, powers.IMPERSONATES_ANYONE):
            for name in at(grant.rule, "resourceNames", []):
                kind = {"users": "User", "groups": "Group"}.get(each[2])
                if kind:
                    then = CLUSTER if str(name).startswith("system:") else Subject(kind, str(name))
                    yield _step(grant, each, "", then)
        for namespace in sorted({SYSTEM, *self.enforced, *(each.namespace for each in self.accounts)}):
            held_there = [grant for grant in grants if grant.holds_in(namespace)]
            yield from self._within(held_there, namespace)
            yield from self._bound(held_there, everywhere, namespace)

    def _within(self, grants: Sequence[Grant], namespace: str) -> Iterator[Step]:
        """Yield the steps to the accounts of a namespace, by the rights that hold in it."""
        there = [each for each in self.accounts if each.namespace == namespace]
        reads = any(_having(grants, powers.READS_SECRETS))
        anyone = [*powers.STARTS_PODS, *(powers.MAKES_SECRETS if reads else ())]  # a Secret can be made one's token
        lifted = any(_having(grants, powers.LIFTS_POD_SECURITY))
        for grant, each in _having(grants, powers.STARTS_PODS):
            if lifted or not self.enforced.get(namespace):
                yield _step(grant, each, f" in {namespace}, where no Pod Security keeps it from the node,", CLUSTER)
        for grant, each in _having(grants, anyone):
            yield from self._all(grant, each, namespace, there)
        for grant, each in _having(grants, (*powers.MAKES_TOKENS, *powers.IMPERSONATES_ACCOUNTS)):
            yield from self._all(grant, each, namespace, [one for one in there if _may_be(grant, each, one.name)])
        for grant, each in _having(grants, (*powers.ENTERS_PODS, *powers.CHANGES_PODS)):
            inside = [one for one in there if any(_of(grant, each, name) for name in self.used.get(one, []))]
            yield from self._all(grant, each, namespace, inside)
        for grant, _each in _having(grants, (power("escalate", RBAC, "roles"),)):
            yield Step(f"escalate roles in {namespace}", grant.role, Subject(_ALL, namespace))

    def _bound(self, grants: Sequence[Grant], everywhere: Sequence[Grant], namespace: str) -> Iterator[Step]:
        """Yield the steps by binding a role to oneself, in a namespace or everywhere."""
        for place, among, bindings in ((namespace, grants, "rolebindings"), ("", everywhere, "clusterrolebindings")):
            if any(_having(among, (power("create update patch", RBAC, bindings),))):
                for grant, each in _having(among, powers.BINDS):
                    kind = "ClusterRole" if each[2] == "clusterroles" else "Role"
                    for name in at(grant.rule, "resourceNames", []):
                        yield _step(grant, each, f" in {place}" if place else "", Subject(kind, str(name), place))
                    if not at(grant.rule, "resourceNames", []):
                        then = Subject(_ALL, place) if place else CLUSTER
                        yield _step(grant, each, f" in {place}" if place else "", then)

    def _all(self, grant: Grant, each: "_Held", namespace: str, there: Sequence[Subject]) -> Iterator[Step]:
        if namespace == SYSTEM:
            yield _step(grant, each, f" in {namespace}", CLUSTER)
        else:
            yield from (_step(grant, each, f" in {namespace}", one) for one in there)


_Held = tuple[str, str, str]


def _having(
    grants: Sequence[Grant], some: Sequence[Power], *, unless_named: bool = False
) -> Iterator[tuple[Grant, _Held]]:
    for grant in grants:
        yield from ((grant, each) for each in held(grant.rule, some, unless_named=unless_named))


def _step(grant: Grant, each: _Held, where: str, then: Subject) -> Step:
    return Step(f"{each[0]} {each[2]}{where}", grant.role, then)


def _may_be(grant: Grant, each: _Held, name: str) -> bool:
    """Return whether a grant is about an object of a name."""
    return not named(grant.rule, each[0], each[2]) or name in at(grant.rule, "resourceNames")


def _of(grant: Grant, each: _Held, workload: str) -> bool:
    """Return whether a grant is about a pod of a workload: its pods are named after it."""
    if not named(grant.rule, each[0], each[2]):
        return True
    names = [str(name) for name in at(grant.rule, "resourceNames")]
    return not workload or any(name == workload or name.startswith(f"{workload}-") for name in names)


def _name(manifest: Manifest) -> str:
    """Return the name that an object's pods begin with, none where it is not known: any name may be its."""
    given = at(manifest, "metadata", {}).get("name")
    return str(given) if isinstance(given, str) and at(manifest, "kind") in POD_PATHS else ""
