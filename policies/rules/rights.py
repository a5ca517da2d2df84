"""Rights: what no role of a platform may hold, because it amounts to more than it says."""

from collections.abc import Callable, Iterator, Sequence

from policies import powers
from policies.permissions import ROLES, of_rbac
from policies.powers import ROLE_RESOURCES, Power, held, held_in_cel
from policies.rule import Admission, Manifest, Rule, at

_GIVES_RIGHTS = (*powers.ESCALATES, *powers.BINDS, *powers.WRITES_RIGHTS)
_ENTERS = (*powers.ENTERS_PODS, *powers.REACHES_PODS)
_ISSUES = (*powers.MAKES_TOKENS, *powers.APPROVES)


def _is_role(manifest: Manifest) -> bool:
    return of_rbac(manifest, *ROLES)


def _is_cluster_role(manifest: Manifest) -> bool:
    return of_rbac(manifest, "ClusterRole")


def _without(some: Sequence[Power], fix: str, *, unless_named: bool = False) -> Callable[[Manifest], Iterator[str]]:
    """Return the check that no rule of a role has any of some powers; `unless_named`, on objects that it does not name."""

    def check(role: Manifest) -> Iterator[str]:
        for index, rule in enumerate(at(role, "rules", [])):
            for verb, _group, resource in held(rule, some, unless_named=unless_named):
                yield f"rules[{index}] gives {verb} {resource}; {fix}"
                break

    return check


def _refusing(some: Sequence[Power], *others: str) -> Admission:
    """Return the same for the cluster, with other expressions that must be true of each `rule`."""
    expressions = (f"!({held_in_cel(some)})", *others)
    return Admission(
        resources=ROLE_RESOURCES,
        parts=("rules",),
        expressions=tuple(f"object.?rules.orValue([]).all(rule, {each})" for each in expressions),
    )


def _grants_no_rights(role: Manifest) -> Iterator[str]:
    fix = "let the program give each account its rights, and no account give any"
    yield from _without(_GIVES_RIGHTS, fix)(role)
    for index, rule in enumerate(at(role, "rules", [])):
        if any(str(verb).startswith("impersonate") for verb in at(rule, "verbs", [])):
            yield f"rules[{index}].verbs lets it act as others; remove impersonate"


RIGHT_RULES = (
    Rule(
        name="role-reads-named-secrets",
        description="Secrets are read by name only.",
        why="Who may list Secrets has every password and key of the namespace in one answer.",
        box="authorization",
        controls=(
            "cis:5.1.2",
            "kubescape:C-0015",
            "kubescape:C-0186",
            "checkov:CKV2_K8S_5",
            "trivy:KSV-0041",
            "trivy:KSV-0113",
        ),
        about=_is_role,
        severity="high",
        check=_without(powers.READS_SECRETS, "name them in resourceNames", unless_named=True),
    ),
    Rule(
        name="role-starts-no-pods",
        description="No role can start pods, or make or change what starts them.",
        why="Whoever starts a pod chooses its account and the Secrets it mounts: it has all that the namespace has.",
        box="authorization",
        controls=("cis:5.1.4", "kubescape:C-0188", "trivy:KSV-0048"),
        about=_is_role,
        severity="high",
        check=_without(powers.STARTS_PODS, "let the program deploy, and read at most"),
        admission=_refusing(powers.STARTS_PODS),
    ),
    Rule(
        name="role-enters-no-pods",
        description="No role can open a shell in a pod, or a connection to it through the API server.",
        why="It is inside then, past every NetworkPolicy, with the pod's files, secrets and account.",
        box="authorization",
        controls=("nsa:C-0002", "kubescape:C-0063", "checkov:CKV2_K8S_2", "trivy:KSV-0053", "trivy:KSV-0054"),
        about=_is_role,
        severity="high",
        check=_without(_ENTERS, "take it out"),
        admission=_refusing(_ENTERS),
    ),
    Rule(
        name="role-grants-no-rights",
        description="No role can give rights, or act as somebody else.",
        why="Who may give rights gives them to itself; who may impersonate needs not even that.",
        box="authorization",
        controls=(
            "cis:5.1.8",
            "kubescape:C-0065",
            "checkov:CKV_K8S_157",
            "checkov:CKV_K8S_158",
            "checkov:CKV2_K8S_1",
            "checkov:CKV2_K8S_3",
            "trivy:KSV-0043",
            "trivy:KSV-0050",
            "trivy:KSV-0051",
            "trivy:KSV-0052",
            "trivy:KSV-0055",
        ),
        about=_is_role,
        severity="critical",
        check=_grants_no_rights,
        admission=_refusing(_GIVES_RIGHTS, "rule.verbs.all(each, !each.startsWith('impersonate'))"),
    ),
    Rule(
        name="role-leaves-nodes-alone",
        description="No role can change a node, or reach its kubelet through the API server.",
        why="The kubelet runs any command in any pod of its node, and no audit log of the API server says which.",
        box="authorization",
        controls=("cis:5.1.10", "checkov:CKV2_K8S_2", "trivy:KSV-0047"),
        about=_is_cluster_role,
        severity="high",
        check=_without(powers.USES_NODES, "read nodes or nodes/metrics at most"),
    ),
    Rule(
        name="role-leaves-admission-alone",
        description="No role can change webhooks, admission policies, the labels of namespaces, resource definitions or API services.",
        why="A webhook sees and changes every object before it is stored; without the policies, or the labels, anything is admitted.",
        box="authorization",
        controls=("cis:5.1.12", "checkov:CKV_K8S_155", "trivy:KSV-0114"),
        about=_is_role,  # a namespace's own roles hold for the namespace itself
        severity="high",
        check=_without(
            (*powers.CHANGES_ADMISSION, *powers.LIFTS_ADMISSION, *powers.LIFTS_POD_SECURITY),
            "let the program change them",
        ),
    ),
    Rule(
        name="role-issues-no-credentials",
        description="No role can make tokens of accounts, or approve certificates of the cluster's.",
        why="Whoever holds what it issued is another account, for longer than its own pod lives.",
        box="authorization",
        controls=("cis:5.1.11", "cis:5.1.13", "checkov:CKV_K8S_156"),
        about=_is_role,
        severity="high",
        check=_without(_ISSUES, "project a token into the pod that needs one"),
        admission=_refusing(_ISSUES),
    ),
    Rule(
        name="role-makes-no-volumes",
        description="No role can make PersistentVolumes.",
        why="A volume can be a directory of the node's own: whoever mounts it writes there what the node runs.",
        box="authorization",
        controls=("cis:5.1.9",),
        about=_is_cluster_role,
        severity="high",
        check=_without(powers.MAKES_VOLUMES, "make PersistentVolumeClaims of a storage class"),
    ),
    Rule(
        name="role-removes-no-data",
        description="No role can remove claims, volumes or namespaces.",
        why="A namespace goes with all that is in it, and a claim with its disk where the class has it so: one request is enough.",
        box="authorization",
        controls=("kubescape:C-0007",),
        about=_is_role,
        severity="high",
        check=_without(powers.REMOVES_DATA, "let the program, or a person, remove them"),
    ),
    Rule(
        name="role-leaves-traffic-alone",
        description="No role can change where traffic goes, or what the network lets through.",
        why="Whoever writes a Service's endpoints is the database to its clients; without policies the network is open.",
        box="authorization",
        controls=("checkov:CKV2_K8S_4", "trivy:KSV-0056"),
        about=_is_role,
        severity="medium",
        check=_without(powers.LEADS_TRAFFIC, "let the program change it"),
    ),
    Rule(
        name="role-keeps-records",
        description="No role can remove events or logs.",
        why="The first thing after a break-in is to remove what shows it.",
        box="audit-logging",
        controls=("kubescape:C-0031", "trivy:KSV-0042"),
        about=_is_role,
        severity="high",
        check=_without(powers.REMOVES_RECORDS, "let records expire by themselves"),
    ),
)
