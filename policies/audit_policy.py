"""The API server's audit policy: at which level it writes down a request, which is that of the first rule it matches."""

from dataclasses import dataclass, replace
from typing import Any

from policies.rule import Manifest, at

_EVERYBODY = "system:authenticated"
_WHO = ((_EVERYBODY,), (_EVERYBODY, "system:serviceaccounts"), (_EVERYBODY, "system:masters"))

LEVELS = ("None", "Metadata", "Request", "RequestResponse")


@dataclass(frozen=True, slots=True)
class Request:
    """A request of somebody whom no rule names, of some groups, for something in a namespace: one that no rule names, if it is None."""

    verb: str
    group: str
    resource: str
    groups: tuple[str, ...] = (_EVERYBODY,)
    namespace: str | None = None


def levels(policy: Any, request: Request) -> set[str]:
    """Return each level for a request: from anybody, a pod or an administrator; in any namespace, if it is not of the cluster."""
    named = [name for rule in at(policy, "rules", []) for name in at(rule, "namespaces", [])]
    places = (None, *named) if request.namespace is None else (request.namespace,)
    return {level(policy, replace(request, groups=groups, namespace=place)) for groups in _WHO for place in places}


def level(policy: Any, request: Request) -> str:
    """Return the level for a request; it is None where no rule matches, or where what was answered is left out."""
    for rule in at(policy, "rules", []):
        if _matches(rule, request):
            omitted = [*at(policy, "omitStages", []), *at(rule, "omitStages", [])]
            return "None" if "ResponseComplete" in omitted else at(rule, "level", "None")
    return "None"


def _matches(rule: Manifest, request: Request) -> bool:
    groups, namespaces = at(rule, "userGroups", []), at(rule, "namespaces", [])
    if at(rule, "users") or at(rule, "nonResourceURLs") or (groups and not set(groups) & set(request.groups)):
        return False
    if namespaces and request.namespace not in namespaces:
        return False
    verbs, resources = at(rule, "verbs", []), at(rule, "resources", [])
    return (not verbs or request.verb in verbs) and (not resources or any(_names(each, request) for each in resources))


def _names(entry: Manifest, request: Request) -> bool:
    if at(entry, "resourceNames") or at(entry, "group", "") not in (request.group, "*"):
        return False
    names = at(entry, "resources", [])
    whole, _, part = request.resource.partition("/")
    return not names or bool({request.resource, "*", f"{whole}/*" if part else whole, f"*/{part}"} & set(names))
