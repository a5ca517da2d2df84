"""What may be done through the Kubernetes API that amounts to more than it says, and how a rule of a role is compared with it."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from policies.rule import Manifest, at

RBAC = "rbac.authorization.k8s.io"
_WRITE = "create update patch"
_CHANGE = f"{_WRITE} delete deletecollection"


class Power(NamedTuple):
    """Any of some verbs on any of some resources of one API group, `pods` or `pods/exec`."""

    verbs: tuple[str, ...]
    group: str
    resources: tuple[str, ...]


def power(verbs: str, group: str, resources: str) -> Power:
    """Return a power, of words parted by spaces."""
    return Power(tuple(verbs.split()), group, tuple(resources.split()))


ROLE_RESOURCES = (f"{RBAC}/roles", f"{RBAC}/clusterroles")
READS_SECRETS = (power("get list watch", "", "secrets"),)
MAKES_SECRETS = (power("create", "", "secrets"),)
USES_SECRETS = (*READS_SECRETS, power(_CHANGE, "", "secrets"))
STARTS_PODS = (
    power("create", "", "pods"),
    power(_WRITE, "", "replicationcontrollers"),
    power(_WRITE, "apps", "deployments statefulsets daemonsets replicasets"),
    power(_WRITE, "batch", "jobs cronjobs"),
    # Its operator makes pods of what these say, with whatever account they name.
    power(_WRITE, "monitoring.coreos.com", "prometheuses prometheusagents alertmanagers thanosrulers"),
)
ENTERS_PODS = (
    power("get create", "", "pods/exec pods/attach"),
    power("update patch", "", "pods/ephemeralcontainers"),
)
REACHES_PODS = (power("get create", "", "pods/portforward pods/proxy services/proxy"),)
# Of a pod's specification little can be changed, but its images can.
CHANGES_PODS = (power("update patch", "", "pods"),)
MAKES_TOKENS = (power("create", "", "serviceaccounts/token"),)
IMPERSONATES_ACCOUNTS = (power("impersonate", "", "serviceaccounts"),)
IMPERSONATES_ANYONE = (
    power("impersonate", "", "users groups"),
    power("impersonate", "authentication.k8s.io", "uids userextras userextras/scopes"),
)
ESCALATES = (power("escalate", RBAC, "clusterroles roles"),)
BINDS = (power("bind", RBAC, "clusterroles roles"),)
WRITES_RIGHTS = (power(_CHANGE, RBAC, "roles clusterroles rolebindings clusterrolebindings"),)
USES_NODES = (
    power("get create", "", "nodes/proxy nodes/configz"),
    power(_CHANGE, "", "nodes nodes/status"),
)
# The API server asks these who passes, and what is made of what it was given; a CRD's conversion and an APIService answer for it.
CHANGES_ADMISSION = (
    power(
        _WRITE,
        "admissionregistration.k8s.io",
        "mutatingwebhookconfigurations validatingwebhookconfigurations mutatingadmissionpolicies"
        " mutatingadmissionpolicybindings validatingadmissionpolicies validatingadmissionpolicybindings",
    ),
    power(_WRITE, "apiextensions.k8s.io", "customresourcedefinitions"),
    power(_WRITE, "apiregistration.k8s.io", "apiservices"),
)
LIFTS_ADMISSION = tuple(
    Power(("delete", "deletecollection"), group, resources) for _, group, resources in CHANGES_ADMISSION
)
APPROVES = (
    power("update patch", "certificates.k8s.io", "certificatesigningrequests/approval"),
    power("approve sign", "certificates.k8s.io", "signers"),
)
MAKES_VOLUMES = (power(_WRITE, "", "persistentvolumes"),)
LEADS_TRAFFIC = (
    power(_CHANGE, "", "services services/status endpoints"),
    power(_CHANGE, "discovery.k8s.io", "endpointslices"),
    power(_CHANGE, "networking.k8s.io", "ingresses ingresses/status networkpolicies"),
    power(
        _CHANGE,
        "gateway.networking.k8s.io",
        "gateways httproutes grpcroutes referencegrants",
    ),
)
REMOVES_RECORDS = (
    power("delete deletecollection", "", "events pods/log"),
    power("delete deletecollection", "events.k8s.io", "events"),
)
REMOVES_DATA = (power("delete deletecollection", "", "persistentvolumeclaims persistentvolumes namespaces"),)
CONFIGURES = (power(_CHANGE, "", "configmaps"),)
# Pod Security and the bindings of admission policies go by the labels of a namespace.
LIFTS_POD_SECURITY = (power("update patch", "", "namespaces"),)
STOPS_PODS = (
    power("delete deletecollection update patch", "", "pods"),
    power("create", "", "pods/eviction"),
    power(_CHANGE, "networking.k8s.io", "networkpolicies"),
)
GATHERS_EVIDENCE = (power("get", "", "pods/log"), power("get create", "", "nodes/checkpoint nodes/log"))

_UNNAMED = ("create", "deletecollection")  # the request has no name yet, or none at all


def held_in_cel(powers: Sequence[Power]) -> str:
    """Return the expression that tells whether `rule`, one of a role, gives any of some powers, as `held` does."""
    return " || ".join(
        f"rule.verbs.exists(each, each in {['*', *verbs]})"
        f" && rule.?apiGroups.orValue([]).exists(each, each in {['*', group]})"
        f" && rule.?resources.orValue([]).exists(each, each in {_wanted(*resources)})"
        for verbs, group, resources in powers
    )


def _wanted(*resources: str) -> list[str]:
    """Return the words that any of some resources goes by in a rule of a role."""
    parts = sorted({f"*/{part}" for part in (each.partition("/")[2] for each in resources) if part})
    return ["*", *resources, *parts]


def covers(rule: Manifest, verb: str, group: str, resource: str) -> bool:
    """Return whether a rule of a role has a verb on a resource, whatever the object's name, as the API server compares them.

    `pods/*` is no form of it, and a verb in capitals is another verb: neither gives anything.
    """
    return (
        any(each in ("*", verb) for each in at(rule, "verbs", []))
        and any(each in ("*", group) for each in at(rule, "apiGroups", []))
        and any(each in _wanted(resource) for each in at(rule, "resources", []))
    )


def named(rule: Manifest, verb: str, resource: str) -> bool:
    """Return whether a rule of a role is limited to objects it names; a creation is not, for an applied object has a name."""
    return bool(at(rule, "resourceNames", [])) and ("/" in resource or verb not in _UNNAMED)


def held(rule: Manifest, powers: Sequence[Power], *, unless_named: bool = False) -> Iterator[tuple[str, str, str]]:
    """Yield verb, group and resource of each power that a rule of a role gives; `unless_named`, on any object only."""
    for verbs, group, resources in powers:
        for verb in verbs:
            for resource in resources:
                if covers(rule, verb, group, resource) and not (unless_named and named(rule, verb, resource)):
                    yield verb, group, resource
