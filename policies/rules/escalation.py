"""Escalation: what rights come to, all roles and bindings taken together, and who alone may hold the few that are dangerous."""

from collections.abc import Callable, Iterator, Sequence

from policies import powers
from policies.permissions import BINDINGS, ROLES, Permissions, Subject, accounts, of_rbac, role_key
from policies.powers import Power, held, named
from policies.rule import THE_STACK, Manifest, StackRule, at
from policies.takeover import SYSTEM, Step, Takeover

# What the cluster is set up by; on some clouds, one of them says who its administrators are.
_OF_THE_CLUSTER = (
    "aws-auth",
    "cluster-info",
    "coredns",
    "extension-apiserver-authentication",
    "kube-proxy",
    "kubeadm-config",
    "kubelet-config",
)
_NOT_FOR_RESPONSE = (*powers.USES_SECRETS, *powers.WRITES_RIGHTS, *powers.ESCALATES, *powers.BINDS)


def _is_binding(manifest: Manifest) -> bool:
    return of_rbac(manifest, *BINDINGS)


def _closed(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    takeover, there = Takeover(manifests), accounts(manifests)
    for account in takeover.accounts:
        if steps := takeover.chain(account):
            bound = (grant.binding for grant in takeover.permissions.grants(account))
            manifest = there.get(account) or next(bound, THE_STACK)
            yield manifest, f"metadata.name is too powerful: {_told(account, steps)}; take the first right from it"


def _told(account: Subject, steps: Sequence[Step]) -> str:
    return f"{account} " + ", which ".join(f"may {may} ({by}), and so is {then}" for may, by, then in steps)


def _system(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    for subject, grant, may in Permissions(manifests).having(powers.CONFIGURES):
        limited = named(grant.rule, may.partition(" ")[0], "configmaps")
        names = at(grant.rule, "resourceNames") if limited else _OF_THE_CLUSTER
        if grant.holds_in(SYSTEM) and any(name in _OF_THE_CLUSTER for name in names):
            yield grant.binding, f"roleRef gives {may} in {SYSTEM} to {subject}; bind the role where it is needed"


def _minimal(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    permissions = Permissions(manifests)
    stopping = list(permissions.having(powers.STOPS_PODS, unless_named=True))
    for subject, grant, may in stopping:
        if grant.namespace is None:
            yield grant.binding, f"roleRef gives {may} everywhere; bind the role in each namespace that it may act in"
        elif grant.namespace == subject.namespace:
            yield grant.binding, f"roleRef gives {may} where {subject} is itself; remove the binding"
    responders = {subject for subject, _grant, _may in stopping}
    for subject, grant, may in permissions.having(_NOT_FOR_RESPONSE):
        if subject in responders:
            yield grant.binding, f"roleRef gives {may} to {subject}, which may stop pods; remove the binding"


def _alone(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    having = list(Permissions(manifests).having(powers.GATHERS_EVIDENCE))
    holders = {subject for subject, _grant, _may in having}
    for subject, grant, may in having:
        if len(holders) > 1 or subject.kind != "ServiceAccount":
            others = f"{subject} and {len(holders) - 1} more"
            yield grant.binding, f"roleRef gives {may} to {others}; leave it to one account, which collects evidence"


def _gives(some: Sequence[Power], *, unless_named: bool = False) -> Callable[[Manifest], bool]:
    """Return what tells whether an object is a role with one of some powers, or binds such a one of the API server's own."""
    built_in = Permissions(())

    def gives(manifest: Manifest) -> bool:
        rules = at(manifest, "rules", []) if of_rbac(manifest, *ROLES) else ()
        if _is_binding(manifest):
            rules = built_in.rules(role_key(manifest))
        return any(True for rule in rules for _power in held(rule, some, unless_named=unless_named))

    return gives


ESCALATION_RULES = (
    StackRule(
        name="role-escalation-closed",
        description="No account's rights lead, through whatever others they reach, to the whole cluster.",
        why="Each right looks small: who can start a pod is every account beside it, and one of those reads all Secrets.",
        box="authorization",
        controls=("kubescape:C-0267",),
        about=_is_binding,
        severity="critical",
        check=_closed,
    ),
    StackRule(
        name="role-leaves-system-configuration-alone",
        description="Nobody may change the ConfigMaps that the cluster is set up by.",
        why="Whoever writes the name server's sends every pod's traffic elsewhere; on some clouds one says who is administrator.",
        box="authorization",
        controls=("kubescape:C-0037", "trivy:KSV-0115"),
        about=_is_binding,
        severity="high",
        check=_system,
    ),
    StackRule(
        name="role-response-minimal",
        description="What may stop any pod may do so in other namespaces than its own, by name, and has no Secrets or rights.",
        why="An alarm starts it: whoever can raise alarms must not be able to have it stop itself, or to be given more.",
        box="automated-response",
        about=_gives(powers.STOPS_PODS, unless_named=True),
        severity="high",
        check=_minimal,
    ),
    StackRule(
        name="role-forensics-alone",
        description="One account at most may read what is in a pod's memory and logs.",
        why="A checkpoint or a log has what the pod knows, its passwords too: nobody needs it but who collects evidence.",
        box="forensics",
        about=_gives(powers.GATHERS_EVIDENCE),
        severity="medium",
        check=_alone,
    ),
)
