"""The API server's audit policy: at which level it writes down a request, which is that of the first rule it matches."""

from dataclasses import dataclass
from typing import Any

from policies.rule import Manifest, at

LEVELS = ("None", "Metadata", "Request", "RequestResponse")


@dataclass(frozen=True, slots=True)
class Request:
    """A request of somebody whom no rule names, for something in a namespace that no rule names."""

    verb: str
    group: str
    resource: str


def level(policy: Any, request: Request) -> str:
    """Return the level for a request; it is None where no rule matches."""
    return next((at(rule, "level", "None") for rule in at(policy, "rules", []) if _matches(rule, request)), "None")


def _matches(rule: Manifest, request: Request) -> bool:
    if any(at(rule, key) for key in ("users", "userGroups", "namespaces", "nonResourceURLs")):
        return False
    verbs, resources = at(rule, "verbs", []), at(rule, "resources", [])
    return (not verbs or request.verb in verbs) and (not resources or any(_names(each, request) for each in resources))


def _names(entry: Manifest, request: Request) -> bool:
    if at(entry, "resourceNames") or at(entry, "group", "") not in (request.group, "*"):
        return False
    names = at(entry, "resources", [])
    whole, _, part = request.resource.partition("/")
    return not names or bool({request.resource, "*", f"{whole}/*" if part else whole, f"*/{part}"} & set(names))
